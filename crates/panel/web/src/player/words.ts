// What a player is told.

export const WORDS = {
  connecting: 'Connecting',
  playing: '',
  blocked: 'You are blocked. Playback continues by itself when the block ends.',
  refused: 'Not allowed to watch. The code may be wrong or expired, or in use elsewhere.',
  full: 'No more viewers are let in now. Trying again.',
  waiting: 'The stream is not live yet.',
  silent: 'Nothing arrives. The stream is paused, or you are blocked; playback continues by itself.',
  few: 'The server has no room to convert this stream for WebRTC: few of its pictures are shown.',
  away: 'The server cannot be reached. Trying again.',
  impossible: 'This browser cannot play the stream. Trying again.',
  nothing: 'Nothing in playOrder can be played here.',
} as const;

export type State = keyof typeof WORDS;
