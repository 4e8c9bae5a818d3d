// Plays by HLS: with hls.js where that goes, else with what the browser has.
import { hlsUrl, wait } from './access';
import type { Wanted } from './play-stream';
import type { Over } from './webrtc';
import type { State } from './words';

const BLOCKED_RETRY_MS = 1000;
const RETRY_MS = 2000;
const STILL_MS = 3000;
/** Whoever is further behind than this was paused or blocked, and skips to now. */
const BEHIND_S = 15;
/** A decoder may fail now and then; one that fails more often cannot play this. */
const RECOVERIES = 3;

export async function hls(video: HTMLVideoElement, wanted: Wanted): Promise<Over> {
  const url = hlsUrl(wanted.app, wanted.id, wanted.access);
  const { default: Hls } = await import('hls.js');
  // Who has left meanwhile would not be told by the signal any more.
  if (wanted.signal.aborted) return 'again';
  if (Hls.isSupported()) return withHlsJs(Hls, video, url, wanted);
  if (video.canPlayType('application/vnd.apple.mpegurl')) return natively(video, url, wanted);
  return 'next';
}

// hls.js gives up on 401, 403 and 404; this goes on until the picture is back.
async function withHlsJs(Hls: typeof import('hls.js').default, video: HTMLVideoElement, url: string, wanted: Wanted): Promise<Over> {
  const { promise, resolve: over } = Promise.withResolvers<Over>();
  const player = new Hls();
  let listed = false;
  let played = false;
  let recoveries = 0;
  /** Why hls.js has stopped loading. */
  let lost: State | null = null;
  /** A block stopped what was still buffered. */
  let stopped = false;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const again = (ms: number) => {
    retry = setTimeout(() => {
      if (listed) player.startLoad();
      else player.loadSource(url);
      again(ms);
    }, ms);
  };
  const lose = (state: State, ms: number) => {
    lost = state;
    wanted.told(state, 'hls');
    clearTimeout(retry);
    again(ms);
  };
  const hold = () => {
    stopped ||= !video.paused;
    video.pause();
  };
  player.on(Hls.Events.MANIFEST_PARSED, () => {
    listed = true;
    wanted.start();
  });
  player.on(Hls.Events.LEVEL_LOADED, () => {
    lost = null;
    clearTimeout(retry);
  });
  player.on(Hls.Events.FRAG_BUFFERED, () => {
    // It had been loaded already when the server refused the next.
    if (lost) return;
    played = true;
    wanted.told('playing', 'hls');
    const edge = player.liveSyncPosition;
    // What was buffered before a block is not shown after it.
    if (edge && (stopped || video.currentTime < edge - BEHIND_S)) video.currentTime = edge;
    if (stopped) void video.play().catch(() => {});
    stopped = false;
  });
  player.on(Hls.Events.ERROR, (_, error) => {
    const state = meaning(error.response?.code ?? 0);
    // Not even what is buffered is for whoever may not watch.
    if (state === 'blocked' || state === 'refused') hold();
    if (state === 'blocked') {
      lose(state, BLOCKED_RETRY_MS);
    } else if (error.fatal && error.type === Hls.ErrorTypes.NETWORK_ERROR) {
      // The grant is gone, or the stream is: ask for it anew, from the beginning.
      listed = false;
      lose(state, RETRY_MS);
      // Where nothing came this way yet, the best way is as good again.
      if (state === 'away' && !played) over('again');
    } else if (error.fatal) {
      recoveries += 1;
      if (recoveries > RECOVERIES) over('next');
      else player.recoverMediaError();
    }
  });
  // The controls start it too.
  video.onplay = () => void (lost === 'blocked' && hold());
  wanted.signal.addEventListener('abort', () => over('again'));
  player.attachMedia(video);
  player.loadSource(url);
  const how = await promise;
  clearTimeout(retry);
  video.onplay = null;
  player.destroy();
  return how;
}

// Browsers do not tell why native HLS fails, so it is asked for once more.
async function natively(video: HTMLVideoElement, url: string, wanted: Wanted): Promise<Over> {
  let [played, failures] = [false, 0];
  while (!wanted.signal.aborted && failures <= RECOVERIES) {
    const status = await fetch(url, { signal: wanted.signal }).then((answer) => answer.status, () => 0);
    if (wanted.signal.aborted) break;
    if (status !== 200) wanted.told(meaning(status), 'hls');
    else if (await once(video, url, wanted)) played = true;
    else failures += 1;
    if (status === 0 && !played) break;
    await wait(status === 401 ? BLOCKED_RETRY_MS : RETRY_MS, wanted.signal);
  }
  video.removeAttribute('src');
  video.load();
  return failures > RECOVERIES ? 'next' : 'again';
}

/** Whether anything was played, when it is over or stands still. */
function once(video: HTMLVideoElement, url: string, wanted: Wanted): Promise<boolean> {
  return new Promise((over) => {
    let played = false;
    let still: ReturnType<typeof setTimeout> | undefined;
    const end = () => {
      clearTimeout(still);
      video.onerror = video.onended = video.onplaying = video.onwaiting = null;
      wanted.signal.removeEventListener('abort', end);
      over(played);
    };
    video.onerror = video.onended = end;
    video.onwaiting = () => {
      clearTimeout(still);
      if (played) still = setTimeout(end, STILL_MS);
    };
    video.onplaying = () => {
      clearTimeout(still);
      played = true;
      wanted.told('playing', 'hls');
    };
    wanted.signal.addEventListener('abort', end);
    video.src = url;
    wanted.start();
  });
}

function meaning(status: number): State {
  if (status === 401) return 'blocked';
  if (status === 403) return 'refused';
  return status === 0 ? 'away' : 'waiting';
}
