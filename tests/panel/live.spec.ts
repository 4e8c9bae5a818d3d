// What moves by itself: numbers and charts, against what the server says that it counts.
import type { Locator, Page } from '@playwright/test';
import { Publisher } from './server.ts';
import { expect, isLive, logIn, moves, STREAM, test, watch } from './fixtures.ts';

type Told = { at: number; receivedBytes?: number; stream?: { receivedBytes: number } };
type Window = { told: Told[]; same?: true };

test.beforeEach(async ({ page, publisher: _ }) => {
  await logIn(page.request);
  await isLive(page.request);
  // Everything that the page is told by server-sent events is kept where the test finds it.
  await page.addInitScript(() => {
    const told: Told[] = [];
    Object.assign(window, { told });
    const listen = EventTarget.prototype.addEventListener;
    EventSource.prototype.addEventListener = function (this: EventSource, name: string, heard: EventListener) {
      listen.call(this, name, (event) => void told.push(JSON.parse((event as MessageEvent<string>).data) as Told));
      listen.call(this, name, heard);
    } as EventSource['addEventListener'];
  });
});

const chart = (page: Page, title: string) => page.getByRole('figure').filter({ hasText: title });

/** What a chart says in words, and the rates that follow from the bytes that the page was told. */
const curve = (page: Page) =>
  chart(page, 'Received').evaluate((figure) => {
    const { told } = window as unknown as Window;
    const bytes = (event: Told) => event.receivedBytes ?? event.stream?.receivedBytes ?? NaN;
    const rates = told.slice(1).map((now, n) => ((bytes(now) - bytes(told[n]!)) * 8000) / (now.at - told[n]!.at));
    return { says: figure.querySelector('p')?.textContent ?? '', title: figure.querySelector('strong')?.textContent ?? '', rates };
  });

/** A rate that a text names behind a word, and by how much it is rounded. */
function rate(text: string, behind: string): [bits: number, rounded: number] {
  const [, digits, unit] = new RegExp(`${behind} ?([\\d,.]+) ([kM])bit/s`).exec(text) ?? [];
  const value = Number(digits?.replaceAll(',', ''));
  return unit === 'M' ? [value * 1e6, 50_001] : [value * 1e3, 501];
}
function says(text: string, behind: string, wanted: number) {
  const [bits, rounded] = rate(text, behind);
  expect(Math.abs(bits - wanted), `${text} names ${wanted} bit/s behind "${behind}"`).toBeLessThan(rounded);
}

/** How far from the top of its picture a curve begins, in pixels. */
const top = (page: Page, title: string) =>
  chart(page, title).locator('canvas').evaluate((canvas: HTMLCanvasElement) => {
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    // The curve has a colour; the words beside it are grey, and what is below it is faint.
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3]! > 200 && data[at + 1]! - data[at]! > 50) return Math.floor(at / 4 / canvas.width);
    }
    return canvas.height;
  });

const drawn = (locator: Locator) => locator.evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());

test('the charts of a stream draw what the server counts, and go on', async ({ page, context, server, problems }) => {
  await page.goto(`/#/streams/live/${STREAM}`);
  await expect.poll(async () => (await curve(page)).rates.length).toBeGreaterThan(4);
  const now = await curve(page);
  expect(now.says).toContain(`${now.rates.length} values`);
  says(now.says, 'lowest', Math.min(...now.rates));
  says(now.says, 'highest', Math.max(...now.rates));
  says(now.says, 'newest', now.rates.at(-1) ?? 0);
  const three = now.rates.slice(-3);
  says(now.title, '', three.reduce((sum, one) => sum + one, 0) / 3);
  const told = await page.evaluate(() => (window as unknown as Window).told.map((event) => event.stream?.receivedBytes ?? 0));
  expect(told.at(-1)).toBeGreaterThan(told[0] ?? 0);
  const { stream } = await (await page.request.get(`/rest/v2/panel/streams/live/${STREAM}`)).json();
  expect(stream.receivedBytes).toBeGreaterThanOrEqual(told.at(-1) ?? 0);

  const picture = chart(page, 'Received').locator('canvas');
  const first = await drawn(picture);
  await expect.poll(() => drawn(picture)).not.toBe(first);
  await expect.poll(async () => (await curve(page)).rates.length).toBeGreaterThan(now.rates.length);

  // The preview is one viewer; the curve rises when another comes.
  const viewers = chart(page, 'Viewers').locator('strong');
  await expect(viewers).toHaveText('1');
  await expect(chart(page, 'Viewers').locator('p')).toContainText('the newest 1.');
  const before = await top(page, 'Viewers');
  const viewer = await context.newPage();
  watch(viewer, server, problems);
  await viewer.goto(`/live/play.html?id=${STREAM}&playOrder=webrtc`);
  await moves(viewer.locator('video'));
  await expect(viewers).toHaveText('2');
  await expect.poll(() => top(page, 'Viewers')).toBeLessThan(before - 8);
  await viewer.close();
  await expect(viewers).toHaveText('1');
  await expect(chart(page, 'Viewers').locator('p')).toContainText('the highest 2, the newest 1.');
});

test('the overview goes on by itself when streams begin and viewers come and go', async ({ page, context, server, problems }) => {
  await page.goto('/#/streams/live');
  await page.evaluate(() => Object.assign(window, { same: true }));
  const row = page.getByTestId(`stream-${STREAM}`);
  const viewers = page.locator('.figure').filter({ hasText: 'Viewers' });
  await expect(viewers.locator('strong')).toHaveText('0');
  await expect(row).toContainText('0 viewers');
  await expect.poll(async () => (await curve(page)).rates.length).toBeGreaterThan(4);
  const { title, rates } = await curve(page);
  says(title, '', rates.slice(-3).reduce((sum, one) => sum + one, 0) / 3);
  const line = () => row.locator('.rate path').getAttribute('d');
  const drawn = await line();
  expect(drawn).toMatch(/^M.*L/);
  await expect.poll(line).not.toBe(drawn);

  const open = async (order: string) => {
    const viewer = await context.newPage();
    watch(viewer, server, problems);
    await viewer.goto(`/live/play.html?id=${STREAM}&playOrder=${order}`);
    await moves(viewer.locator('video'));
    return viewer;
  };
  const one = await open('webrtc');
  await expect(viewers.locator('strong')).toHaveText('1');
  await expect(viewers).toContainText('WebRTC 1');
  await expect(row).toContainText('1 viewer');
  const two = await open('hls');
  await expect(viewers.locator('strong')).toHaveText('2');
  await expect(row).toContainText('WebRTC 1 · HLS 1');
  await one.close();
  await expect(viewers).toContainText('WebRTC 0');
  await two.close();

  const [alone] = rate(title, '');
  const another = Publisher.start(server, 'camera-2');
  await expect(page.getByTestId('live-count')).toHaveText('2');
  await expect(page.getByTestId('stream-camera-2')).toContainText('640×360');
  await expect.poll(async () => rate((await curve(page)).title, '')[0]).toBeGreaterThan(alone * 1.4);
  await another.stop();
  await expect(page.getByTestId('live-count')).toHaveText('1');
  expect(await page.evaluate(() => (window as unknown as Window).same), 'the page was not loaded anew').toBe(true);
});

test('a page for which the server has no place asks every now and then instead', async ({ page }) => {
  await page.route('**/streams/events**', (route) => route.fulfill({ status: 503, body: '' }));
  let asked = 0;
  page.on('request', (request) => (asked += Number(request.url().includes('/panel/streams?'))));
  await page.goto('/#/streams/live');
  const line = () => page.getByTestId(`stream-${STREAM}`).locator('.rate path').getAttribute('d');
  await expect.poll(line).toMatch(/^M.*L/);
  const drawn = await line();
  const before = asked;
  await expect.poll(line).not.toBe(drawn);
  await expect.poll(() => asked).toBeGreaterThan(before);
  expect(await page.evaluate(() => (window as unknown as Window).told)).toEqual([]);
  await expect(page.getByText('The connection to the server is lost.')).toHaveCount(0);
});
