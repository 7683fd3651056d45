import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { BrowserRouter } from 'react-router';
import { Refusal } from './api/client';
import { App } from './app/App';
import { choose, chosen } from './app/theme';
import { Announcer } from './ui/Announcer';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/shell.css';
import './styles/text.css';
import './styles/work.css';

const client = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (times, error) => error instanceof Refusal && error.passes && times < 4,
      retryDelay: (times) => Math.min(500 * 2 ** times, 8000),
    },
  },
});

choose(chosen());

// A server that was updated has no longer what an old page asks it for.
window.addEventListener('vite:preloadError', (event) => {
  event.preventDefault();
  window.location.reload();
});

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <BrowserRouter>
          <Announcer>
            <App />
          </Announcer>
        </BrowserRouter>
      </QueryClientProvider>
    </StrictMode>,
  );
}
