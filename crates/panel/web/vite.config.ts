import { resolve } from 'node:path';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const here = import.meta.dirname;

// `npm run dev` plays against a stand-in of the server unless SLUICE names a real one.
async function standIn(): Promise<Plugin[]> {
  if (process.env['SLUICE']) return [];
  const { mock } = await import('./mock/plugin.ts');
  return [mock()];
}

export default defineConfig(async ({ command }) => {
  const real = process.env['SLUICE'];
  return {
    plugins: [svelte(), ...(command === 'serve' ? await standIn() : [])],
    server: real ? { proxy: { '^/rest/|^/[^/]+/(rest|websocket|streams|whip|whep)': { target: real, ws: true } } } : {},
    build: {
      // What has light-dark(), so that the two themes stay one list of colours.
      target: ['chrome123', 'firefox128', 'safari17.5'],
      // A file inside the page would be refused by our own content policy.
      assetsInlineLimit: 0,
      // hls.js is one file of 0.6 MB, fetched only where WebRTC does not go.
      chunkSizeWarningLimit: 700,
      rollupOptions: {
        input: Object.fromEntries(['index', 'play', 'publish'].map((name) => [name, resolve(here, `${name}.html`)])),
      },
    },
  };
});
