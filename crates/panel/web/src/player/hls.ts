// Plays by HLS: with hls.js where that goes, else with what the browser has.
import { hlsUrl, wait } from './access';
import type { Wanted } from './play-stream';
import type { Over } from './webrtc';
import type { State } from './words';

const BLOCKED_RETRY_MS = 1000;
const RETRY_MS = 2000;
/** Whoever is further behind than this was paused or blocked, and skips to now. */
const BEHIND_S = 15;

export async function hls(video: HTMLVideoElement, wanted: Wanted): Promise<Over> {
  const url = hlsUrl(wanted.app, wanted.id, wanted.access);
  const { default: Hls } = await import('hls.js');
  // Who has left meanwhile would not be told by the signal any more.
  if (wanted.signal.aborted) return 'again';
  if (Hls.isSupported()) return withHlsJs(Hls, video, url, wanted);
  if (video.canPlayType('application/vnd.apple.mpegurl')) return natively(video, url, wanted);
  return 'next';
}

// hls.js gives up on 401, 403 and 404; this goes on until the picture is back. Ends only
// with `signal`: there is no better way after this one.
function withHlsJs(Hls: typeof import('hls.js').default, video: HTMLVideoElement, url: string, wanted: Wanted): Promise<Over> {
  const player = new Hls();
  let listed = false;
  /** A block stopped what was still buffered. */
  let stopped = false;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const again = (ms: number) => {
    clearTimeout(retry);
    retry = setTimeout(() => {
      if (listed) player.startLoad();
      else player.loadSource(url);
      again(ms);
    }, ms);
  };
  player.on(Hls.Events.MANIFEST_PARSED, () => {
    listed = true;
    wanted.start();
  });
  player.on(Hls.Events.FRAG_BUFFERED, () => {
    clearTimeout(retry);
    wanted.told('playing', 'hls');
    const edge = player.liveSyncPosition;
    // What was buffered before a block is not shown after it.
    if (edge && (stopped || video.currentTime < edge - BEHIND_S)) video.currentTime = edge;
    if (stopped) void video.play().catch(() => {});
    stopped = false;
  });
  player.on(Hls.Events.ERROR, (_, error) => {
    const status = error.response?.code ?? 0;
    if (status === 401) {
      wanted.told('blocked', 'hls');
      stopped ||= !video.paused;
      video.pause();
      again(BLOCKED_RETRY_MS);
    } else if (error.fatal && error.type === Hls.ErrorTypes.MEDIA_ERROR) {
      player.recoverMediaError();
    } else if (error.fatal) {
      // The grant is gone, or the stream is: ask for it anew, from the beginning.
      wanted.told(meaning(status), 'hls');
      listed = false;
      again(RETRY_MS);
    }
  });
  player.attachMedia(video);
  player.loadSource(url);
  return new Promise((over) =>
    wanted.signal.addEventListener('abort', () => {
      clearTimeout(retry);
      player.destroy();
      over('again');
    }),
  );
}

// Browsers do not tell why native HLS fails, so it is asked for once more.
async function natively(video: HTMLVideoElement, url: string, wanted: Wanted): Promise<Over> {
  while (!wanted.signal.aborted) {
    const status = await fetch(url, { signal: wanted.signal }).then((answer) => answer.status, () => 0);
    if (status === 200) await once(video, url, wanted);
    else wanted.told(meaning(status), 'hls');
    await wait(status === 401 ? BLOCKED_RETRY_MS : RETRY_MS, wanted.signal);
  }
  return 'again';
}

function once(video: HTMLVideoElement, url: string, wanted: Wanted): Promise<void> {
  return new Promise((over) => {
    video.onerror = video.onended = () => over();
    video.onplaying = () => wanted.told('playing', 'hls');
    wanted.signal.addEventListener('abort', () => {
      video.removeAttribute('src');
      over();
    });
    video.src = url;
    wanted.start();
  });
}

function meaning(status: number): State {
  if (status === 401) return 'blocked';
  if (status === 403) return 'refused';
  return status === 0 ? 'away' : 'waiting';
}
