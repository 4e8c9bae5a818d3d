// Publishes a camera or a screen by WebRTC through Ant Media's adaptor, and again after
// every loss until told to end. A blocked publisher is told so and tries on.
import { wait, type Access } from './access';
import { close, connect } from './sdk';

export const PUBLISH_WORDS = {
  idle: '',
  connecting: 'Connecting',
  live: '',
  blocked: 'You are blocked from publishing. Trying again until the block ends.',
  refused: 'Not allowed to publish. The code may be wrong or expired.',
  unknown: 'There is no such stream: it is not registered.',
  closed: 'This stream is not open for publishing now.',
  busy: 'Somebody publishes this stream already. Trying again.',
  full: 'The server takes no more publishers now. Trying again.',
  away: 'The server cannot be reached. Trying again.',
  lapsed: 'You were blocked, and your code has expired. Enter a new one when the block is over.',
  replaced: 'Publishing goes on elsewhere with this code, so it ended here.',
  ended: 'The stream was ended. Trying again.',
} as const;

export type PublishState = keyof typeof PUBLISH_WORDS;

export interface PublishWanted {
  app: string;
  id: string;
  access: Access;
  told: (state: PublishState) => void;
  signal: AbortSignal;
}

const ERRORS: Record<string, PublishState> = {
  user_blocked: 'blocked',
  unauthorized_access: 'refused',
  not_allowed_unregistered_streams: 'unknown',
  stream_not_active_or_expired: 'closed',
  streamIdInUse: 'busy',
  already_publishing: 'busy',
  highResourceUsage: 'full',
  WebSocketNotConnected: 'away',
  not_initialized_yet: 'away',
};
const LOOK_MS = 500;
/** The adaptor tries again each 3.5 s; longer without a peer, and it has given up. */
const GIVEN_UP_MS = 8000;

export async function publishStream(media: MediaStream, video: HTMLVideoElement, wanted: PublishWanted): Promise<void> {
  // The server looks at the code before it looks at blocks, so a block that outlives the
  // code ends as a refusal; whoever was blocked is told why that is.
  let blocked = false;
  const told = (state: PublishState) => {
    blocked = state === 'blocked' || (blocked && state !== 'live');
    wanted.told(state === 'refused' && blocked ? 'lapsed' : state);
  };
  while (!wanted.signal.aborted) {
    await once(media, video, { ...wanted, told });
    await wait(1000, wanted.signal);
  }
}

async function once(media: MediaStream, video: HTMLVideoElement, wanted: PublishWanted): Promise<void> {
  let begun = false;
  let last: PublishState = 'connecting';
  let alone = Date.now();
  const { app, id, access, told, signal } = wanted;
  const tell = (state: PublishState) => {
    last = state;
    if (!signal.aborted) told(state);
  };
  tell('connecting');
  const adaptor = connect(app, { localStream: media, localVideoElement: video }, {
    callback: (name) => {
      if (name === 'initialized' && !begun) {
        begun = true;
        adaptor.publish(id, access.token, access.subscriberId, access.subscriberCode);
      } else if (name === 'publish_started') tell('live');
      // After a refusal it says nothing new.
      else if (name === 'publish_finished' && last === 'live') tell('ended');
    },
    callbackError: (name) => {
      // What takes a stream over is this subscriber's own next one: they must not take turns.
      const state = name === 'streamIdInUse' && last === 'live' ? 'replaced' : ERRORS[name];
      if (state) tell(state);
    },
  });
  const leave = () => {
    close(adaptor, id);
    alone = 0;
  };
  addEventListener('pagehide', leave);
  while (!signal.aborted && Date.now() - alone < GIVEN_UP_MS) {
    if (adaptor.remotePeerConnection[id]) alone = Date.now();
    await wait(LOOK_MS, signal);
  }
  removeEventListener('pagehide', leave);
  leave();
}
