import { execSync } from 'node:child_process';
import { defineConfig } from '@playwright/test';

const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding', '--disable-background-timer-throttling',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--auto-accept-this-tab-capture'];
const chromium = { executablePath: execSync('command -v chromium').toString().trim(), args: [...args, '--autoplay-policy=no-user-gesture-required'] };

// One server and one publisher for each file: the flows share theirs, in order, and change
// its settings; the looks must not see that.
export default defineConfig({
  testDir: '.',
  workers: 1,
  fullyParallel: false,
  timeout: 240_000,
  expect: { timeout: 60_000 },
  reporter: [['list']],
  forbidOnly: true,
  projects: [
    { name: 'flows', testMatch: 'flows.spec.ts' },
    { name: 'lists', testMatch: 'lists.spec.ts' },
    { name: 'live', testMatch: 'live.spec.ts' },
    { name: 'looks', testMatch: 'looks.spec.ts' },
    // As a visitor's browser is: sound begins only after a click, and Back finds a page as it
    // was left. A trace would count as the click.
    { name: 'pages', testMatch: 'pages.spec.ts', use: { trace: 'off', launchOptions: { ...chromium, args, ignoreDefaultArgs: ['--disable-back-forward-cache'] } } },
  ],
  use: {
    viewport: { width: 1280, height: 860 },
    actionTimeout: 60_000,
    trace: 'retain-on-failure',
    permissions: ['clipboard-read', 'clipboard-write'],
    launchOptions: chromium,
  },
});
