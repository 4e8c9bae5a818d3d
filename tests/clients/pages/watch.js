// Watches a <video>: pushes each presented picture's number (null where unreadable) to
// window.pictures and keeps the loudest sound in window.peak. The strip that it reads is
// described in tests/src/picture.rs.
window.events = [];
window.pictures = [];
window.peak = 0;

const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 40 });
const pen = canvas.getContext('2d', { willReadFrequently: true });

function number(video) {
  pen.drawImage(video, 0, (video.videoHeight * 320) / 360, video.videoWidth, (video.videoHeight * 40) / 360, 0, 0, 640, 40);
  const pixels = pen.getImageData(0, 0, 640, 40).data;
  const mean = (cell, middle) => {
    let sum = 0;
    for (let y = middle - 4; y < middle + 4; y++) for (let x = cell * 32 + 8; x < cell * 32 + 24; x++) sum += pixels[4 * (y * 640 + x) + 1];
    return sum / 128;
  };
  const bits = [];
  for (let cell = 0; cell < 20; cell++) {
    const difference = mean(cell, 10) - mean(cell, 30);
    if (Math.abs(difference) < 40) return null;
    bits.push(difference > 0);
  }
  if (!bits[0] || bits[1] || !bits[19]) return null;
  return bits.slice(2, 18).reduce((n, bit, i) => n + (bit ? 1 << i : 0), 0);
}

window.watch = video => {
  const next = () => {
    window.pictures.push(video.videoWidth ? number(video) : null);
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
  listen(video);
};

// The element's own sound, as it plays it; a stream of tracks has no other way in than itself.
function listen(video) {
  const audio = new AudioContext();
  const analyser = audio.createAnalyser();
  analyser.fftSize = 8192;
  const samples = new Float32Array(analyser.fftSize);
  let source = null;
  let heard = null;
  setInterval(() => {
    const stream = video.srcObject ?? (video.readyState > 1 ? video : null);
    const sound = stream && (stream === video || stream.getAudioTracks().length) ? stream : null;
    if (sound && sound !== heard) {
      heard = sound;
      source?.disconnect();
      source = sound === video ? audio.createMediaElementSource(video) : audio.createMediaStreamSource(sound);
      source.connect(analyser);
    }
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) window.peak = Math.max(window.peak, Math.abs(sample));
  }, 100);
}
