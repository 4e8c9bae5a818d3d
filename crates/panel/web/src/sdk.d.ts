declare module '@antmedia/webrtc_adaptor/dist/es/webrtc_adaptor.js' {
  export class WebRTCAdaptor {
    constructor(initialValues: object);
  }
}
