// What the stand-in knows, and its answers.

interface Answer {
  status: number;
  body: unknown;
  type?: string;
  headers?: Record<string, string>;
}
const ok = (body: unknown, headers: Record<string, string> = {}): Answer => ({ status: 200, body, headers });
const yes = (dataId: string | null = null) => ok({ success: true, message: '', dataId, errorId: 0 });
const no = (message: string, field: string | null = null, status = 200): Answer => ({ status, body: { success: false, message, field } });

const START = Date.now();
const LIVE = 37;
const setting = (group: string, name: string, kind: string, value: unknown, label: string, help: string, more = {}) => ({ group, name, kind, default: value, label, help, ...more });
const SETTINGS = [
  setting('Who may publish and play', 'enableTimeTokenForPublish', 'flag', false, 'One-time codes for publishing', 'Publishers need a code that changes each period.'),
  setting('Who may publish and play', 'enableTimeTokenForPlay', 'flag', false, 'One-time codes for playing', 'Players need a code that changes each period.'),
  setting('Who may publish and play', 'timeTokenSecretForPublish', 'secret', null, 'Secret for publishing', 'Codes of publishers that are not registered come from this.'),
  setting('Who may publish and play', 'timeTokenSecretForPlay', 'secret', null, 'Secret for playing', 'Codes of players that are not registered come from this.'),
  setting('Who may publish and play', 'timeTokenPeriod', 'whole', 60, 'Period of codes', 'Seconds until the next code; the one before stays good for one period.', { min: 10, max: 2147483647 }),
  setting('Who may publish and play', 'acceptOnlyStreamsInDataStore', 'flag', false, 'Registered streams only', 'Only registered streams may be published.'),
  setting('Networks', 'ipFilterEnabled', 'flag', true, 'Limit the control API by address', 'Only the networks below may use this application’s control API.'),
  setting('Networks', 'remoteAllowedCIDR', 'networks', '127.0.0.1', 'Networks for the control API', 'Addresses or networks, separated by commas.'),
  setting('HLS', 'hlsMuxingEnabled', 'flag', true, 'HLS', 'Whether streams can be played by HLS.'),
  setting('HLS', 'hlsTime', 'whole', '2', 'Segment length', 'Seconds.', { min: 1, max: 10 }),
  setting('HLS', 'hlsListSize', 'whole', '15', 'Segments in the playlist', '', { min: 5, max: 100 }),
  setting('Limits', 'webRTCViewerLimit', 'whole', -1, 'WebRTC viewers of a stream', '−1: no limit.', { min: -1 }),
  setting('Events', 'writeSubscriberEventsToDatastore', 'flag', false, 'Write subscriber events', 'Keep who connected and disconnected, and when.'),
];

export class World {
  admin = { email: 'ann@example.org', firstName: 'Ann', lastName: 'Archer', role: 'ADMIN' };
  first = process.env['MOCK_FIRST'] === '1';
  in = process.env['MOCK_IN'] === '1';
  revision = 1;
  settings: Record<string, unknown> = Object.fromEntries(SETTINGS.map((s) => [s.name, s.default]));
  users = [
    { email: 'ann@example.org', firstName: 'Ann', lastName: 'Archer', userType: 'ADMIN', appNameUserType: { system: 'ADMIN' } },
    { email: 'ben@example.org', firstName: 'Ben', lastName: '', userType: 'USER', appNameUserType: { system: 'USER' } },
    { email: 'a.very.long.address.of.somebody@a-department.example.org', firstName: 'Christina', lastName: 'Vandenberghe', userType: 'READ_ONLY', appNameUserType: { system: 'READ_ONLY' } },
  ];
  guessed = { derived: true, subscribers: ['viewer-00001'] };
  subscribers = Array.from({ length: 10_000 }, (_, n) => ({
    subscriberId: n === 0 ? 'lastpeony' : `viewer-${String(n).padStart(5, '0')}`, subscriberName: n % 3 ? null : 'Somebody with a name', streamId: 's', type: n % 7 ? 'play' : 'publish',
    connected: n % 5 === 0, currentConcurrentConnections: n % 5 === 0 ? 1 : 0, concurrentConnectionsLimit: n % 11 ? 1 : -1,
    publishBlockedUntilMs: n === 2 ? START + 8e7 : 0, playBlockedUntilMs: n === 1 || n === 2 ? START + 3.1e6 : 0, totpExpiryPeriodSeconds: 60,
  }));

  streams(url: URL) {
    const query = url.searchParams;
    const at = Date.now();
    const search = query.get('search') ?? '';
    const all = Array.from({ length: query.get('live') === 'true' ? LIVE : 10_000 }, (_, n) => n).filter((n) => this.id(n).includes(search));
    const offset = Number(query.get('offset'));
    const streams = all.slice(offset, offset + Number(query.get('size'))).map((n) => this.stream(n, at));
    return { at, live: LIVE, matching: all.length, players: { webrtc: 1204, hls: 318, rtmp: 12 }, receivedBytes: (at - START) * 9000 + 8e5 * Math.sin(at / 4000), streams };
  }
  id = (n: number) => (n === 3 ? 'a-stream-with-a-rather-long-identifier-2026-11-24' : `camera-${n + 1}`);
  stream(n: number, at: number) {
    const live = n < LIVE;
    return {
      app: 'live', id: this.id(n), name: n % 4 === 1 ? `Studio ${n}` : null, live, registered: n % 2 === 0, protocol: live ? (['rtmp', 'webrtc', 'whip'] as const)[n % 3] : null,
      publisher: live && n % 3 === 0 ? 'publisherA' : null, peer: live ? '203.0.113.7' : null, since: live ? START - n * 977_000 : null,
      video: live && n !== 5 ? { codec: 'H264', width: n % 2 ? 1280 : 1920, height: n % 2 ? 720 : 1080 } : null, audio: live && n !== 6 ? { codec: n % 3 ? 'Opus' : 'AAC', rate: 48000, channels: 2 } : null,
      receivedBytes: live ? (at - START) * (200 + n * 13) + 40_000 * (1 + Math.sin(at / 3000 + n)) : 0, players: live ? { webrtc: (n * 7) % 40, hls: n % 5, rtmp: n % 2 } : { webrtc: 0, hls: 0, rtmp: 0 }, keyframesOnly: n === 2,
    };
  }
  detail(id: string, query: URLSearchParams) {
    const n = Number(/^camera-(\d+)$/.exec(id)?.[1] ?? 1) - 1;
    const at = Date.now();
    const [offset, size] = [Number(query.get('offset')), Math.min(200, Number(query.get('size') ?? 50))];
    const session = (n: number) => ({
      id: `s${n}`, role: n ? 'player' : 'publisher', protocol: n ? ['webrtc', 'hls', 'rtmp'][n % 3] : 'rtmp', subscriber: n % 3 === 2 ? null : n ? `viewer-${String(n).padStart(5, '0')}` : 'publisherA',
      peer: n % 4 ? `198.51.100.${n % 256}` : '2001:db8:85a3::8a2e:370:7334', since: START - n * 100_000, bytes: (at - START) * 210 + n * 1e6, gaps: n % 6 === 1 ? 3 : 0, lag: n < 2 ? null : n % 3 === 1 ? 2000 + (n * 37) % 4000 : (n * 7) % 130, standing: n === 1 ? 'suspended' : 'granted',
    });
    const all = Array.from({ length: 10_001 }, (_, n) => session(n));
    const search = query.get('search')?.toLowerCase() ?? '';
    const found = all.filter((s) => [s.role, s.protocol, s.peer, s.subscriber ?? ''].join('\n').includes(search));
    return { at, stream: this.stream(n, at), total: all.length, matching: found.length, sessions: found.slice(offset, offset + size) };
  }
  events(url: URL) {
    if (url.pathname === '/rest/v2/panel/streams/events') return { name: 'streams', make: () => this.streams(url) };
    const id = /\/panel\/streams\/[^/]+\/([^/]+)\/events$/.exec(url.pathname)?.[1];
    if (id) return { name: 'stream', make: () => this.detail(id, url.searchParams) };
    return null;
  }

  answer(method: string, url: URL, text: string): Answer {
    const path = url.pathname;
    const is = (wanted: string, pattern: RegExp) => (method === wanted ? pattern.exec(path) : null);
    const sent = () => JSON.parse(text || '{}') as Record<string, unknown>;
    let found: RegExpExecArray | null;
    if (path === '/rest/v2/first-login-status') return ok({ success: this.first });
    if (path === '/rest/v2/users/initial') return ((this.first = false), yes());
    if (path === '/rest/v2/users/authenticate') return sent()['password'] === 'wrong' ? no('') : ((this.in = true), yes());
    if (path === '/rest/v2/users/logout') return ((this.in = false), yes());
    if (path === '/rest/v2/authentication-status') return ok({ success: this.in });
    if (!this.in) return no('Not authenticated user', null, 403);
    if (path === '/rest/v2/panel/me') return ok(this.admin);
    if (path === '/rest/v2/applications') return ok({ applications: ['live', 'LiveApp'] });
    if (path === '/rest/v2/version') return ok({ serverVersion: '0.1.0' });
    if (path === '/rest/v2/panel/addresses') return ok({ rtmp: { port: 1935 }, rtmps: { port: 1936 }, http: { port: 5080 }, https: null });
    if (path === '/rest/v2/panel/settings') return ok(SETTINGS);
    if (is('GET', /\/applications\/settings\//)) return ok(this.settings, { etag: `"${this.revision}"` });
    if (is('POST', /\/applications\/settings\//)) {
      if (sent()['remoteAllowedCIDR'] === 'x') return no('remoteAllowedCIDR: x is not an address', 'remoteAllowedCIDR');
      return ((this.revision += 1), Object.assign(this.settings, sent()), yes());
    }
    if (path === '/rest/v2/user-list') return ok(this.users);
    if (is('POST', /\/users$/)) return (this.users.push({ ...(sent() as (typeof this.users)[0]), appNameUserType: { system: 'USER' } }), yes());
    if (path === '/rest/v2/panel/audit') {
      const search = (url.searchParams.get('search') ?? '').toLowerCase();
      const all = Array.from({ length: 10_000 }, (_, n) => this.entry(n)).filter((e) => Object.values(e).join('\n').toLowerCase().includes(search));
      const offset = Number(url.searchParams.get('offset'));
      return ok({ matching: all.length, entries: all.slice(offset, offset + 50) });
    }
    if (is('GET', /thumbnail$/)) return { status: 200, type: 'image/svg+xml', body: '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 18"><rect width="32" height="18" fill="#335"/><circle cx="16" cy="9" r="5" fill="#e93"/></svg>' };
    if ((found = is('GET', /\/subscribers\/list\/(\d+)\/(\d+)$/))) {
      const search = url.searchParams.get('search') ?? '';
      const all = this.subscribers.filter((s) => s.subscriberId.includes(search));
      return ok(all.slice(Number(found[1]), Number(found[1]) + Math.min(50, Number(found[2]))), { 'x-total-count': String(all.length) });
    }
    if (is('GET', /\/guesses$/)) return ok(this.guessed);
    if ((found = is('DELETE', /\/guesses(?:\/([^/]+))?$/))) {
      const sid = found[1];
      this.guessed = sid ? { ...this.guessed, subscribers: this.guessed.subscribers.filter((one) => one !== sid) } : { ...this.guessed, derived: false };
      return yes();
    }
    if (is('GET', /\/totp$/)) return yes(String(Math.floor(Date.now() / 60_000) % 1_000_000).padStart(6, '0'));
    if ((found = is('PUT', /\/subscribers\/([^/]+)\/block\/(\d+)\/(\w+)$/))) {
      const [, sid, seconds, kind] = found;
      const until = Number(seconds) ? Date.now() + Number(seconds) * 1000 : 0;
      const one = this.subscribers.find((s) => s.subscriberId === sid);
      if (one && kind !== 'publish') one.playBlockedUntilMs = until;
      if (one && kind !== 'play') one.publishBlockedUntilMs = until;
      return yes();
    }
    if (is('POST', /\/subscribers\/import$/)) return ok({ added: 3, refused: [{ line: 3, subscriberId: 'x', message: 'subscriberId must have at least 4 characters' }] });
    if (is('POST', /\/subscribers$/)) return ((this.subscribers = this.subscribers.filter((s) => s.subscriberId !== sent()['subscriberId'])), this.subscribers.unshift({ ...this.subscribers[5]!, ...(sent() as object), totpExpiryPeriodSeconds: Number(sent()['totpExpiryPeriodSeconds'] ?? this.settings['timeTokenPeriod']) }), yes());
    if ((found = is('GET', /\/connection-events\/(\d+)\/(\d+)$/))) {
      const [from, size] = [Number(found[1]), Math.min(50, Number(found[2]))];
      const [sid, search] = [url.searchParams.get('subscriberId'), (url.searchParams.get('search') ?? '').toLowerCase()];
      const all = Array.from({ length: 10_000 }, (_, n) => ({ timestamp: START - n * 61_000, eventType: n % 2 ? 'connected' : 'disconnected', type: 'play', eventProtocol: 'webrtc', subscriberId: `viewer-0000${n % 9}` }));
      const kept = all.filter((e) => (sid ? e.subscriberId === sid : e.subscriberId.includes(search)));
      return ok(kept.slice(from, from + size), { 'x-total-count': String(kept.length) });
    }
    return yes();
  }
  entry(n: number) {
    return {
      at: START - n * 4_000_000, who: n % 3 ? 'ann@example.org' : 'control API', from: '203.0.113.9', what: ['block', 'unblock', 'change_settings', 'log_in'][n % 4], title: ['Blocked', 'Unblocked', 'Changed settings', 'Logged in'][n % 4], app: n % 4 === 3 ? null : 'live',
      stream: n % 4 < 2 ? 'camera-1' : null, subscriber: n % 4 < 2 ? 'lastpeony' : null, detail: ['watching, 1 h', null, 'enableTimeTokenForPlay, timeTokenPeriod', null][n % 4],
    };
  }
}
