// browser.mjs CAMERA.y4m MICROPHONE.wav: Chromium behind JSON lines.
//
//   {"id", "op": "open", "url"}          -> {"id", "value": page}
//   {"id", "op": "eval", "page", "js"}   -> {"id", "value"}
//   {"id", "op": "shot", "page", "path"} -> {"id", "value"}
//   {"id", "op": "close", "page"}        -> {"id", "value"}
//
// A call that fails answers {"id", "error"}. Ends, with the browser, when standard input does.
import { execSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));
const [camera, microphone] = process.argv.slice(2);
const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript' };

// Pages need an origin on 127.0.0.1: only that is a secure context without TLS.
const pages = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, 'http://x').pathname);
  const file = join(here, path.startsWith('/node_modules/') ? path : join('pages', path));
  try {
    const body = await readFile(file);
    response.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise(listening => pages.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${pages.address().port}/`;

const browser = await chromium.launch({
  executablePath: execSync('command -v chromium').toString().trim(),
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
    '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding', '--disable-background-timer-throttling',
    '--ignore-certificate-errors', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
    // As it is with a server on another machine: a name that is not this machine's own.
    '--host-resolver-rules=MAP sluice.test 127.0.0.1',
    `--use-file-for-fake-video-capture=${camera}`, `--use-file-for-fake-audio-capture=${microphone}`],
});
const context = await browser.newContext({ viewport: { width: 1000, height: 720 } });
const open = [];

const ops = {
  async open({ url }) {
    const page = await context.newPage();
    page.on('console', message => console.error(`page ${open.indexOf(page)}: ${message.text()}`));
    page.on('pageerror', error => console.error(`page ${open.indexOf(page)}: ${error}`));
    open.push(page);
    await page.goto(new URL(url, origin).href);
    return open.length - 1;
  },
  eval: ({ page, js }) => open[page].evaluate(js),
  shot: ({ page, path }) => open[page].screenshot({ path }).then(() => null),
  close: ({ page }) => open[page].close().then(() => null),
};

const tell = answer => process.stdout.write(JSON.stringify(answer) + '\n');
tell({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  // Calls run side by side: one page that waits must not hold up another.
  ops[call.op](call).then(
    value => tell({ id: call.id, value: value ?? null }),
    error => tell({ id: call.id, error: String(error).split('\n')[0] }),
  );
}
await browser.close();
process.exit(0);
