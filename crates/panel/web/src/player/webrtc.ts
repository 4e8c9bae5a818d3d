// Plays by WebRTC through Ant Media's adaptor.
import { wait } from './access';
import type { Wanted } from './play-stream';
import { close, connect, type Adaptor, type Detail } from './sdk';
import type { State } from './words';

/**
 * "next": this way does not go, or another, if there is one, shows more. "again": it was
 * lost, and the best way is tried first.
 */
export type Over = 'next' | 'again';

const GIVE_UP_MS = 10_000;
const STILL_MS = 1_500;
const LOOK_MS = 500;
const UNDER_WAY_MS = 1_000;

const ERRORS: Record<string, State> = {
  user_blocked: 'blocked',
  unauthorized_access: 'refused',
  not_allowed_unregistered_streams: 'refused',
  viewerLimitReached: 'full',
  highResourceUsage: 'full',
  no_stream_exist: 'waiting',
  not_initialized_yet: 'away',
  WebSocketNotConnected: 'away',
};

/** What the server said last, and what follows from it. */
class Attempt {
  over: Over | null = null;
  /** When the server said why there is no media; silence needs no other word then. */
  explained: number | null = null;
  few = false;
  /** Whether the socket was ever open: from then on the adaptor comes back by itself. */
  begun = false;

  constructor(
    readonly wanted: Wanted,
    readonly isLast: boolean,
  ) {}

  /** What was under way is still shown for a moment; that is not playback again. */
  isFresh(): boolean {
    return this.explained !== null && Date.now() - this.explained < UNDER_WAY_MS;
  }

  notified(name: string) {
    if (name === 'play_started') this.explained = null;
    if (name === 'play_finished') this.tell('waiting');
  }

  failed(name: string, detail?: Detail) {
    if (detail?.information === 'key_frames_only') return this.fewPictures();
    if (detail?.information === 'webrtc_not_enabled' && !this.isLast) return this.end('next');
    if (name === 'WebSocketNotConnected' && !this.begun) return this.unconnected();
    const state = ERRORS[name];
    // Who may not play this way may be let in by the next: HLS keeps an earlier place.
    if (state === 'refused' && !this.isLast) return this.end('next');
    if (state) this.tell(state);
    else if (name.endsWith('Description') || name === 'no_codec_enabled_in_the_server') this.end('next');
  }

  end(over: Over) {
    this.over = over;
  }

  /** There are proxies that let no WebSocket through, and what goes over HTTP. */
  private unconnected() {
    if (!this.isLast) return this.end('next');
    this.tell('away');
    this.end('again');
  }
  private fewPictures() {
    this.few = true;
    if (!this.isLast) this.end('next');
  }
  private tell(state: State) {
    this.explained = Date.now();
    this.wanted.told(state, 'webrtc');
  }
}

export async function webrtc(video: HTMLVideoElement, wanted: Wanted, isLast: boolean): Promise<Over> {
  if (!('RTCPeerConnection' in window)) return 'next';
  const attempt = new Attempt(wanted, isLast);
  const adaptor = connect(wanted.app, { remoteVideoElement: video }, {
    callback: (name) => {
      if (name === 'initialized' && !attempt.begun) {
        attempt.begun = true;
        adaptor.play({ streamId: wanted.id, ...wanted.access });
        wanted.start();
      }
      attempt.notified(name);
    },
    callbackError: (name, detail) => attempt.failed(name, detail),
  });
  // A page that is gone back to goes on where it was, without its connections.
  const leave = () => {
    close(adaptor, wanted.id);
    attempt.end('again');
  };
  addEventListener('pagehide', leave);
  try {
    return await watch(adaptor, attempt);
  } finally {
    removeEventListener('pagehide', leave);
    leave();
    video.srcObject = null;
  }
}

/** Looks at what was decoded: that alone proves playback, and its standing still the rest. */
async function watch(adaptor: Adaptor, attempt: Attempt): Promise<Over> {
  const { wanted, isLast } = attempt;
  let [seen, at, alone, played, peer] = [0, Date.now(), Date.now(), false, undefined as RTCPeerConnection | undefined];
  while (!wanted.signal.aborted) {
    await wait(LOOK_MS, wanted.signal);
    if (attempt.over) return attempt.over;
    const now = adaptor.remotePeerConnection[wanted.id];
    if (now !== peer) [peer, seen] = [now, 0];
    if (peer) alone = Date.now();
    // The adaptor does not come back from a socket that never opened, nor from a `stop` of
    // the server's.
    if (Date.now() - alone > GIVE_UP_MS) return played || isLast ? 'again' : 'next';
    const sum = peer ? await decoded(peer) : 0;
    const still = Date.now() - at;
    if (sum > seen && attempt.isFresh()) {
      seen = sum;
    } else if (sum > seen) {
      [seen, at, played] = [sum, Date.now(), true];
      attempt.explained = null;
      wanted.told(attempt.few ? 'few' : 'playing', 'webrtc');
    } else if (attempt.explained !== null) {
      at = Date.now();
    } else if (played && still > STILL_MS) {
      wanted.told('silent', 'webrtc');
    } else if (!played && still > GIVE_UP_MS) {
      if (!isLast) return 'next';
      wanted.told('silent', 'webrtc');
      at = Date.now();
    }
  }
  return 'again';
}

async function decoded(peer: RTCPeerConnection): Promise<number> {
  let sum = 0;
  const reports = (await peer.getStats()) as unknown as Map<string, RTCInboundRtpStreamStats>;
  for (const report of reports.values()) {
    if (report.type === 'inbound-rtp') sum += (report.framesDecoded ?? 0) + (report.packetsReceived ?? 0);
  }
  return sum;
}
