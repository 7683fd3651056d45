import { Link } from 'react-router';
import { Page } from '../ui/Page';

export function Unknown() {
  return (
    <Page title="There is no such page">
      <p>
        The address leads nowhere. <Link to="/">Go to the beginning</Link>.
      </p>
    </Page>
  );
}
