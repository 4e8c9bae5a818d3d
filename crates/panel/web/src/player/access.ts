// Who asks for a stream, and where this page's server is.

export interface Access {
  token?: string;
  subscriberId?: string;
  subscriberCode?: string;
}

/** The credentials in a page's query. */
export function accessIn(query: URLSearchParams): Access {
  const access: Access = {};
  for (const name of ['token', 'subscriberId', 'subscriberCode'] as const) {
    const value = query.get(name);
    if (value) access[name] = value;
  }
  return access;
}

/** The application of `/{app}/play.html`. */
export function appOfPage(): string {
  return decodeURIComponent(location.pathname.split('/')[1] ?? '');
}

export function hlsUrl(app: string, id: string, access: Access): string {
  const url = new URL(`/${encodeURIComponent(app)}/streams/${encodeURIComponent(id)}.m3u8`, location.href);
  for (const [name, value] of Object.entries(access)) if (value) url.searchParams.set(name, value as string);
  return url.href;
}

export function signallingUrl(app: string): string {
  const url = new URL(`/${encodeURIComponent(app)}/websocket`, location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

export const wait = (ms: number, signal: AbortSignal) =>
  new Promise<void>((done) => {
    if (signal.aborted) return done();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
