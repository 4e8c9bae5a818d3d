// Ant Media's adaptor, as far as we use it: its own declarations say `object` and `any`.
// Imported by its own file, because its index brings video effects along that are loaded
// from elsewhere at run time.
import { WebRTCAdaptor } from '@antmedia/webrtc_adaptor/dist/es/webrtc_adaptor.js';
import { signallingUrl, type Access } from './access';

export interface Detail {
  definition?: string;
  streamId?: string;
  information?: string;
  state?: string;
}
export interface Heard {
  callback: (name: string, detail?: Detail) => void;
  callbackError: (name: string, detail?: Detail) => void;
}
export interface Adaptor {
  remotePeerConnection: Record<string, RTCPeerConnection | undefined>;
  play(wanted: { streamId: string } & Access): void;
  publish(id: string, token?: string, subscriber?: string, code?: string): void;
  stop(id: string): void;
  closeWebSocket(): void;
  reconnectIfRequiredFlag: boolean;
  webSocketAdaptor: { clearPingTimer(): void } | null;
}
export type Media = { remoteVideoElement: HTMLVideoElement } | { localStream: MediaStream; localVideoElement: HTMLVideoElement };

/** Connects. Goes on by itself after every loss, until `close`. */
export function connect(app: string, media: Media, heard: Heard): Adaptor {
  const plays = 'remoteVideoElement' in media;
  return new WebRTCAdaptor({
    websocket_url: signallingUrl(app),
    isPlayMode: plays,
    // Without this the browser would ask a STUN server of Google's.
    peerconnection_config: { iceServers: [] },
    mediaConstraints: { video: !plays, audio: !plays },
    ...media,
    ...heard,
  }) as unknown as Adaptor;
}

/** Ends what an adaptor holds; it does not try again. */
export function close(adaptor: Adaptor, id: string) {
  // A try that is on its way already would open the socket anew, with nobody left to end it;
  // a ping would be sent into a closing one.
  adaptor.reconnectIfRequiredFlag = false;
  adaptor.play = adaptor.publish = () => {};
  adaptor.webSocketAdaptor?.clearPingTimer();
  try {
    adaptor.stop(id);
    adaptor.closeWebSocket();
  } catch {
    // The socket was never open; there is nothing to end.
  }
  // Whoever leaves twice sends nothing into a socket that is closed.
  adaptor.stop = () => {};
}
