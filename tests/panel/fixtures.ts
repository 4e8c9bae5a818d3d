// What every flow shares: a server with an administrator, and words for what a page shows.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test as base, type APIRequestContext, type Locator, type Page } from '@playwright/test';
import { Publisher, Server } from './server.ts';

export const ADMIN = { email: 'ann@example.org', password: 'correct horse battery', firstName: 'Ann', lastName: 'Archer' };
export const STREAM = 'camera-1';
/** What Chromium says in the console of a page whose WebSocket did not pass. */
export const NO_SOCKET = /WebSocket connection to/;
export const SHOTS = join(import.meta.dirname, 'shots');
mkdirSync(SHOTS, { recursive: true });

export const test = base.extend<{ problems: string[] }, { server: Server; publisher: Publisher }>({
  server: [
    async ({}, use) => {
      const server = await Server.start();
      await use(server);
      await server.stop();
      expect(server.log, 'the server never panics').not.toContain('panicked');
    },
    { scope: 'worker' },
  ],
  publisher: [
    async ({ server }, use) => {
      const publisher = Publisher.start(server, STREAM);
      await use(publisher);
      await publisher.stop();
    },
    { scope: 'worker', timeout: 60_000 },
  ],
  baseURL: async ({ server }, use) => use(server.http),
  // Whatever a page says in its console is a fault: a refused script, style or request of
  // our content policy is told there and nowhere else.
  problems: [
    async ({ page, server }, use) => {
      const problems: string[] = [];
      watch(page, server, problems);
      await use(problems);
      expect(problems).toEqual([]);
    },
    { auto: true },
  ],
});
export { expect };

/** Collects what goes wrong in a page, but for what is `expected`, and every request to another origin. */
export function watch(page: Page, server: { http: string }, problems: string[], expected = /^$/) {
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    const text = message.text();
    // A refusal that a page asks for and tells is no fault of the page.
    if (message.type() === 'error' && !text.startsWith('Failed to load resource') && !expected.test(text)) problems.push(text);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(server.http) && !/^(data|blob|about):/.test(url)) problems.push(`asked ${url}`);
  });
}

/** Logs in by the API; makes the first account where the wizard has not. */
export async function logIn(request: APIRequestContext, who: { email: string; password: string } = ADMIN) {
  const first = await (await request.get('/rest/v2/first-login-status')).json();
  if (first.success) await request.post('/rest/v2/users/initial', { data: ADMIN });
  const answer = await (await request.post('/rest/v2/users/authenticate', { data: { email: who.email, password: who.password } })).json();
  expect(answer.success).toBe(true);
}

/** Waits until the stream is live. */
export async function isLive(request: APIRequestContext, stream = STREAM) {
  const status = async () => {
    const answer = await request.get(`/live/rest/v2/broadcasts/${stream}`);
    return answer.ok() ? (await answer.json()).status : answer.status();
  };
  await expect.poll(status, { timeout: 60_000 }).toBe('broadcasting');
}

/** A coarse picture of what a video shows now. */
export const pixels = (video: Locator) =>
  video.evaluate((element: HTMLVideoElement) => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [64, 36];
    const context = canvas.getContext('2d', { willReadFrequently: true })!;
    context.drawImage(element, 0, 0, 64, 36);
    return [...context.getImageData(0, 0, 64, 36).data];
  });

/** Waits until the picture has changed, and was one. */
export async function moves(video: Locator) {
  const first = await pixels(video);
  await expect
    .poll(async () => {
      const now = await pixels(video);
      const lit = now.some((value, at) => at % 4 !== 3 && value > 40);
      return lit && now.filter((value, at) => Math.abs(value - (first[at] ?? 0)) > 24).length > 20;
    }, { message: 'the pixels move', timeout: 60_000 })
    .toBe(true);
}

/** How many pictures a video has shown. */
export const frames = (video: Locator) => video.evaluate((element: HTMLVideoElement) => element.getVideoPlaybackQuality().totalVideoFrames);

/** axe finds nothing serious, in the page or in a part of it, by all its rules or by some. */
export async function accessible(page: Page, part = 'html', rules: string[] = []) {
  const axe = new AxeBuilder({ page }).include(part);
  const { violations } = await (rules.length ? axe.withRules(rules) : axe).analyze();
  const bad = violations.filter((found) => found.impact === 'serious' || found.impact === 'critical');
  expect(bad.map((found) => `${found.id}: ${found.nodes.map((node) => node.target.join(' ')).join(' | ')}`)).toEqual([]);
}
