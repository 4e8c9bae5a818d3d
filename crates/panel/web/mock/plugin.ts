// A stand-in of the server for `npm run dev`: enough of its answers to look at every page,
// with 10,000 of everything. Nothing of it is built into the product.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Plugin } from 'vite';
import { World } from './world.ts';

async function body(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

function events(response: ServerResponse, name: string, make: () => unknown) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const send = () => response.write(`event: ${name}\ndata: ${JSON.stringify(make())}\n\n`);
  send();
  const timer = setInterval(send, 1000);
  response.on('close', () => clearInterval(timer));
}

export function mock(): Plugin {
  const world = new World();
  return {
    name: 'sluice-mock',
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const url = new URL(request.url ?? '/', 'http://mock');
        const page = /^\/[^/]+\/(play|publish)\.html$/.exec(url.pathname);
        if (page) request.url = `/${page[1]}.html${url.search}`;
        if (!/^\/rest\/|^\/[^/]+\/rest\//.test(url.pathname)) return next();
        void body(request).then((text) => {
          const stream = world.events(url);
          if (stream) return events(response, stream.name, stream.make);
          const answer = world.answer(request.method ?? 'GET', url, text);
          response.writeHead(answer.status, { 'content-type': answer.type ?? 'application/json', ...answer.headers });
          response.end(answer.type ? answer.body : JSON.stringify(answer.body));
        });
      });
    },
  };
}
