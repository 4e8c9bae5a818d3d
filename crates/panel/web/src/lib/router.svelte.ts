// The address after `#`: the server knows one page, and reloads and links work.

function read(): string[] {
  return location.hash
    .replace(/^#\/?/, '')
    .split('/')
    .filter(Boolean)
    .map((segment) => {
      try {
        return decodeURIComponent(segment);
      } catch {
        return segment;
      }
    });
}

class Route {
  parts = $state.raw(read());
  constructor() {
    addEventListener('hashchange', () => (this.parts = read()));
  }
}

export const route = new Route();
export const href = (...parts: string[]) => `#/${parts.map(encodeURIComponent).join('/')}`;
export function go(...parts: string[]) {
  location.hash = href(...parts);
}
