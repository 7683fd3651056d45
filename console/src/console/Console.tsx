import { Page } from '../ui/Page';

export default function Console() {
  return <Page title="Console">{null}</Page>;
}
