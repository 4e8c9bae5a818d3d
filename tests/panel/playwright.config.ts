import { execSync } from 'node:child_process';
import { defineConfig } from '@playwright/test';

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
  projects: ['flows', 'looks'].map((name) => ({ name, testMatch: `${name}.spec.ts` })),
  use: {
    viewport: { width: 1280, height: 860 },
    actionTimeout: 60_000,
    trace: 'retain-on-failure',
    permissions: ['clipboard-read', 'clipboard-write'],
    launchOptions: {
      executablePath: execSync('command -v chromium').toString().trim(),
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
        '--autoplay-policy=no-user-gesture-required', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding',
        '--disable-background-timer-throttling', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--auto-accept-this-tab-capture'],
    },
  },
});
