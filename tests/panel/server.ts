// The server under test, on ports and a data folder of its own, and ffmpeg publishing to it.
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createWebServer, request as ask, type IncomingMessage } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');

const tcpPort = () =>
  new Promise<number>((found, failed) => {
    const probe = createServer().on('error', failed).listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => found(port));
    });
  });

const udpPort = () =>
  new Promise<number>((found) => {
    const probe = createSocket('udp4').bind(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => found(port));
    });
  });

/** A page of somebody else: `localhost` is another site than 127.0.0.1, to a browser. */
export const serve = (html: string) =>
  new Promise<{ origin: string; close: () => void }>((up) => {
    const web = createWebServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(html));
    web.listen(0, '127.0.0.1', () => {
      const { port } = web.address() as { port: number };
      up({ origin: `http://localhost:${port}/`, close: () => web.close() });
    });
  });

/** Somebody's network between the browser and the server: what passes is up to the test. */
export async function between(server: { http: string }) {
  const { port } = new URL(server.http);
  const way = { origin: '', lets: (_: string) => true, close: () => {} };
  const path = (asked: IncomingMessage) => asked.url ?? '';
  const web = createWebServer((asked, answered) => {
    if (!way.lets(path(asked))) return void asked.socket.destroy();
    const { method, headers } = asked;
    const passed = ask({ host: '127.0.0.1', port, path: path(asked), method, headers }, (answer) => {
      answered.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(answered);
    });
    passed.on('error', () => answered.destroy());
    asked.pipe(passed);
  });
  web.on('upgrade', (asked, near) => {
    near.on('error', () => near.destroy());
    if (!way.lets(path(asked))) return void near.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
    const far = connect(Number(port), '127.0.0.1').on('error', () => near.destroy());
    const head = asked.rawHeaders.flatMap((part, at) => (at % 2 ? [] : [`${part}: ${asked.rawHeaders[at + 1]}`]));
    far.write([`GET ${path(asked)} HTTP/1.1`, ...head, '', ''].join('\r\n'));
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((up) => web.listen(0, '127.0.0.1', up));
  way.origin = `http://127.0.0.1:${(web.address() as { port: number }).port}`;
  way.close = () => {
    web.close();
    web.closeAllConnections();
  };
  return way;
}

/** Ends a process and waits for its end. */
const ended = (process: ChildProcess, signal: NodeJS.Signals) =>
  new Promise<void>((done) => {
    if (process.exitCode !== null || process.signalCode !== null) return done();
    process.once('exit', () => done());
    process.kill(signal);
  });

export class Server {
  log = '';
  private constructor(
    readonly process: ChildProcess,
    readonly home: string,
    readonly http: string,
    readonly rtmp: string,
  ) {
    const hear = (chunk: Buffer) => (this.log += chunk.toString());
    process.stdout?.on('data', hear);
    process.stderr?.on('data', hear);
  }

  static async start(): Promise<Server> {
    const [http, rtmp, webrtc] = [await tcpPort(), await tcpPort(), await udpPort()];
    const home = mkdtempSync(join(tmpdir(), 'sluice-panel-'));
    const env = {
      ...process.env,
      SLUICE__HTTP__LISTEN: `127.0.0.1:${http}`,
      SLUICE__RTMP__LISTEN: `127.0.0.1:${rtmp}`,
      SLUICE__WEBRTC__LISTEN: `127.0.0.1:${webrtc}`,
      SLUICE__STORE__PATH: join(home, 'data'),
      // Tests log in through the API; the wizard's own test takes the address that is printed.
      SLUICE__HTTP__SETUP_FROM_LOOPBACK: 'true',
    };
    const binary = process.env['SLUICE_BIN'] ?? join(root, 'target/debug/sluice');
    const child = spawn(binary, ['--config', join(root, 'config/sluice.toml')], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const server = new Server(child, home, `http://127.0.0.1:${http}`, `rtmp://127.0.0.1:${rtmp}`);
    await server.ready();
    return server;
  }

  private async ready() {
    while (this.process.exitCode === null) {
      if (await fetch(`${this.http}/rest/v2/liveness`).then((answer) => answer.ok, () => false)) return;
    }
    throw new Error(`the server ended:\n${this.log}`);
  }

  /** The panel's address as the server prints it. */
  get printed(): string {
    const line = /Web panel +(\S+)/.exec(this.log);
    if (!line?.[1]) throw new Error(`no panel in:\n${this.log}`);
    return line[1];
  }

  async stop() {
    await ended(this.process, 'SIGTERM');
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** A test picture whose every frame differs, and a tone. */
export class Publisher {
  private constructor(readonly process: ChildProcess) {}

  static start(server: Server, stream: string): Publisher {
    const video = ['-re', '-f', 'lavfi', '-i', 'testsrc2=s=640x360:r=30', '-f', 'lavfi', '-i', 'sine=440'];
    const coded = ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-bf', '0', '-g', '30', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
    const args = ['-loglevel', 'error', ...video, ...coded, '-f', 'flv', `${server.rtmp}/live/${stream}`];
    return new Publisher(spawn('ffmpeg', args, { stdio: 'ignore' }));
  }

  stop = () => ended(this.process, 'SIGKILL');
}
