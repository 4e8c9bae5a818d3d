// Plays a stream in a video element, in the best way that goes, until told to end. Whoever
// is blocked is told so and does nothing: playback comes back by itself.
import { wait, type Access } from './access';
import { hls } from './hls';
import { webrtc } from './webrtc';
import type { State } from './words';

export type Way = 'webrtc' | 'hls';
export const WAYS: readonly Way[] = ['webrtc', 'hls'];

export interface Wanted {
  app: string;
  id: string;
  access: Access;
  /** Called with each change of what the player sees. */
  told: (state: State, way: Way) => void;
  /** Called when media is about to come: play, if that is wanted. */
  start: () => void;
  signal: AbortSignal;
}

/** After a loss, before the best way is tried again. */
const AGAIN_MS = 1000;

export async function playStream(video: HTMLVideoElement, order: readonly Way[], wanted: Wanted): Promise<void> {
  const first = order[0];
  if (!first) return wanted.told('nothing', 'webrtc');
  wanted.told('connecting', first);
  for (let at = 0; !wanted.signal.aborted; ) {
    const way = order[at];
    if (!way) {
      wanted.told('impossible', first);
      await wait(5000, wanted.signal);
      at = 0;
      continue;
    }
    const over = way === 'webrtc' ? await webrtc(video, wanted, at === order.length - 1) : await hls(video, wanted);
    at = over === 'next' ? at + 1 : 0;
    if (over === 'again') await wait(AGAIN_MS, wanted.signal);
  }
}

/** Plays with sound where the browser lets it, else without. */
export async function startPlaying(video: HTMLVideoElement) {
  try {
    await video.play();
  } catch (error) {
    // A play() that another replaced was not refused.
    if (!(error instanceof DOMException && error.name === 'NotAllowedError')) return;
    video.muted = true;
    await video.play().catch(() => {});
  }
}
