// The pages of an application, for who watches and who publishes, against a live server and
// under Chromium's own rules for sound and for going back.
import type { APIRequestContext, BrowserContext, Locator, Page } from '@playwright/test';
import { between, serve } from './server.ts';
import { accessible, expect, frames, isLive, logIn, moves, NO_SOCKET, pixels, STREAM, test, watch } from './fixtures.ts';

const OWN = 'browser-1';
const CASTS = '/live/rest/v2/broadcasts';
const PLAYED = `${CASTS}/${STREAM}/subscribers`;
// Its publishers need a code; ffmpeg, which has none, publishes to the other application.
const STUDIO = `/LiveApp/rest/v2/broadcasts/${OWN}`;

const set = async (request: APIRequestContext, app: string, settings: object) =>
  expect((await (await request.post(`/rest/v2/applications/settings/${app}`, { data: settings })).json()).success).toBe(true);
const codes = (request: APIRequestContext, on: boolean) => set(request, 'live', { enableTimeTokenForPlay: on });
const block = (request: APIRequestContext, of: string, seconds: number) => request.put(`${of}/block/${seconds}/publish_play`);
const code = async (request: APIRequestContext, of: string, type: string): Promise<string> => {
  const answer = await (await request.get(`${of}/totp?type=${type}`)).json();
  expect(answer.dataId).toMatch(/^\d{6}$/);
  return answer.dataId;
};
const asAlice = async (request: APIRequestContext) => `&subscriberId=alice&subscriberCode=${await code(request, `${PLAYED}/alice`, 'play')}`;
const play = (more = '') => `/live/play.html?id=${STREAM}${more}`;
const stage = (page: Page) => page.locator('main');

test.beforeEach(async ({ page, publisher: _ }) => {
  await logIn(page.request);
  await isLive(page.request);
  await codes(page.request, false);
  await set(page.request, 'LiveApp', { enableTimeTokenForPublish: true });
  const b32Secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
  for (const subscriberId of ['alice', 'witness']) await page.request.post(PLAYED, { data: { subscriberId, b32Secret, type: 'play' } });
  await page.request.post(`${STUDIO}/subscribers`, { data: { subscriberId: 'bob-the-host', b32Secret, type: 'publish' } });
});

/** A page beside the one of the test, with what is `expected` in its console. */
async function beside(context: BrowserContext, server: { http: string }, problems: string[], expected?: RegExp) {
  const page = await context.newPage();
  watch(page, server, problems, expected);
  return page;
}

/** While another viewer sees two seconds of pictures, this one sees none. */
async function shownNothing(video: Locator, witness: Locator) {
  const [mine, others] = [await frames(video), await frames(witness)];
  await expect.poll(() => frames(witness)).toBeGreaterThan(others + 60);
  expect(await frames(video)).toBe(mine);
}

test('with autoplay=false nothing plays until the viewer presses play', async ({ page }) => {
  for (const order of ['webrtc', 'hls']) {
    await page.goto(play(`&autoplay=false&playOrder=${order}`));
    await expect(stage(page)).toHaveAttribute('data-state', 'playing');
    const video = page.locator('video');
    const ready = () => video.evaluate((player: HTMLVideoElement) => player.readyState);
    await expect.poll(ready).toBeGreaterThanOrEqual(2);
    expect(await video.evaluate((player: HTMLVideoElement) => [player.paused, player.played.length])).toEqual([true, 0]);
    await video.focus();
    await page.keyboard.press('Space');
    await moves(video);
  }
});

test('playOrder names the ways and their order', async ({ page }) => {
  for (const [order, way] of [['webrtc', 'webrtc'], ['hls', 'hls'], ['hls,webrtc', 'hls'], ['webrtc,hls', 'webrtc']]) {
    await page.goto(play(`&playOrder=${order}`));
    await expect(stage(page)).toHaveAttribute('data-state', 'playing');
    await expect(stage(page)).toHaveAttribute('data-way', way ?? '');
  }
  await page.goto(play('&playOrder=carrier-pigeon'));
  await expect(page.getByRole('status')).toContainText('Nothing in playOrder');
});

test('a token lets in whom nobody knows', async ({ page }) => {
  await codes(page.request, true);
  const { dataId } = await (await page.request.get(`/rest/v2/panel/streams/live/${STREAM}/preview`)).json();
  for (const order of ['webrtc', 'hls']) {
    await page.goto(play(`&playOrder=${order}`));
    await expect(stage(page)).toHaveAttribute('data-state', 'refused');
    await page.goto(play(`&playOrder=${order}&token=${dataId}`));
    await moves(page.locator('video'));
  }
});

test('a stranger sees no picture, and is asked for the code with nothing else lost', async ({ page, context, server, problems }) => {
  await codes(page.request, true);
  const free = await beside(context, server, problems);
  await free.goto(play(`&subscriberId=witness&subscriberCode=${await code(page.request, `${PLAYED}/witness`, 'play')}`));
  await moves(free.locator('video'));
  for (const order of ['webrtc,hls', 'webrtc', 'hls']) {
    await page.goto(play(`&subscriberId=alice&subscriberCode=000000&playOrder=${order}&mute=true`));
    const field = page.getByLabel('Code');
    await expect(field).toHaveAccessibleDescription(/Not allowed to watch/);
    await expect(field).toBeFocused();
    await shownNothing(page.locator('video'), free.locator('video'));
    expect((await pixels(page.locator('video'))).some((value, at) => at % 4 !== 3 && value > 0), 'a picture').toBe(false);
    await accessible(page);
    await expect(page.getByLabel('Stream', { exact: true })).toHaveValue(STREAM);
    await expect(page.getByLabel('Subscriber')).toHaveValue('alice');
    await expect(field).toHaveValue('000000');
    await field.fill(await code(page.request, `${PLAYED}/alice`, 'play'));
    await page.getByRole('button', { name: 'Watch' }).click();
    await moves(page.locator('video'));
    expect(new URL(page.url()).searchParams.get('playOrder')).toBe(order);
  }
  await free.close();
});

test('who is refused plays by himself once he may', async ({ page }) => {
  for (const order of ['webrtc', 'hls']) {
    await codes(page.request, true);
    await page.goto(play(`&playOrder=${order}`));
    await expect(stage(page)).toHaveAttribute('data-state', 'refused');
    await codes(page.request, false);
    await moves(page.locator('video'));
    await expect(page.getByLabel('Code')).toHaveCount(0);
  }
});

test('where no WebSocket passes, it plays by HLS', async ({ context, server, problems }) => {
  const way = await between(server);
  way.lets = (path) => !path.includes('/websocket');
  const page = await beside(context, { http: way.origin }, problems, NO_SOCKET);
  await page.goto(way.origin + play());
  await moves(page.locator('video'));
  await expect(stage(page)).toHaveAttribute('data-way', 'hls');
  await page.close();
  way.close();
});

for (const order of ['webrtc,hls', 'webrtc']) {
  test(`a page that came while the server goes plays when it is back: ${order}`, async ({ context, server, problems }) => {
    const way = await between(server);
    way.lets = (path) => !/websocket|streams/.test(path);
    const page = await beside(context, { http: way.origin }, problems, NO_SOCKET);
    await page.goto(way.origin + play(`&playOrder=${order}`));
    await expect(page.getByRole('status')).toContainText('cannot be reached');
    way.lets = () => true;
    await moves(page.locator('video'));
    await expect(stage(page)).toHaveAttribute('data-way', 'webrtc');
    await page.close();
    way.close();
  });
}

test('a page that is gone back to plays again', async ({ page, server }) => {
  for (const order of ['webrtc', 'hls']) {
    await page.goto(play(`&playOrder=${order}`));
    await moves(page.locator('video'));
    await page.evaluate(() => addEventListener('pageshow', (event) => (document.title = `kept: ${event.persisted}`)));
    await page.goto(`${server.http}/favicon.svg`);
    await page.goBack({ waitUntil: 'commit' });
    await expect(page).toHaveTitle('kept: true');
    await moves(page.locator('video'));
    await expect(stage(page)).toHaveAttribute('data-state', 'playing');
  }
});

test('what was loaded just before a block is not shown after it, and playback comes back', async ({ page, context, server, problems }) => {
  await codes(page.request, true);
  const free = await beside(context, server, problems);
  await free.goto(play(`&subscriberId=witness&subscriberCode=${await code(page.request, `${PLAYED}/witness`, 'play')}`));
  await moves(free.locator('video'));
  // What is appended waits for the test, as if the machine were slow.
  await page.addInitScript(() => {
    const append = SourceBuffer.prototype.appendBuffer;
    const held: (() => void)[] = [];
    const hold = { on: false, count: () => held.length, release: () => held.splice(0).forEach((go) => go()) };
    Object.assign(window, { hold });
    SourceBuffer.prototype.appendBuffer = function (bytes) {
      if (!hold.on) return append.call(this, bytes);
      held.push(() => append.call(this, bytes));
    };
  });
  type Held = { hold: { on: boolean; count: () => number; release: () => void } };
  await page.goto(play(`&playOrder=hls${await asAlice(page.request)}`));
  const video = page.locator('video');
  await moves(video);
  await page.evaluate(() => void ((window as unknown as Held).hold.on = true));
  await expect.poll(() => page.evaluate(() => (window as unknown as Held).hold.count())).toBeGreaterThan(0);
  await block(page.request, `${PLAYED}/alice`, 300);
  await expect(page.getByRole('status')).toContainText('You are blocked');
  const buffered = () => video.evaluate((player: HTMLVideoElement) => player.buffered.end(player.buffered.length - 1));
  const before = await buffered();
  await page.evaluate(() => {
    const { hold } = window as unknown as Held;
    hold.on = false;
    hold.release();
  });
  await expect.poll(buffered).toBeGreaterThan(before);
  await shownNothing(video, free.locator('video'));
  // Nor when the viewer asks for it.
  await video.evaluate((player: HTMLVideoElement) => player.play().catch(() => {}));
  await shownNothing(video, free.locator('video'));
  await expect(page.getByRole('status')).toContainText('You are blocked');
  await block(page.request, `${PLAYED}/alice`, 0);
  await moves(video);
  await expect(stage(page)).toHaveAttribute('data-state', 'playing');
  await free.close();
});

test('a stream that the browser cannot decode is said to be one', async ({ page }) => {
  await page.route(/\.(m4s|mp4)(\?|$)/, (route) => route.fulfill({ contentType: 'video/mp4', body: Buffer.alloc(4096, 7) }));
  await page.goto(play('&playOrder=hls'));
  await expect(page.getByRole('status')).toContainText('cannot play the stream');
  await page.unrouteAll();
  await moves(page.locator('video'));
});

test("a browser's own HLS plays, tells a block and comes back", async ({ page, context, server, problems }) => {
  await codes(page.request, true);
  const free = await beside(context, server, problems);
  await free.goto(play(`&subscriberId=witness&subscriberCode=${await code(page.request, `${PLAYED}/witness`, 'play')}`));
  await moves(free.locator('video'));
  await page.addInitScript(() => ['MediaSource', 'ManagedMediaSource', 'WebKitMediaSource'].forEach((name) => Reflect.deleteProperty(window, name)));
  await page.goto(play(`&playOrder=hls${await asAlice(page.request)}`));
  await moves(page.locator('video'));
  expect(await page.locator('video').evaluate((player: HTMLVideoElement) => player.src)).toContain('.m3u8');
  await block(page.request, `${PLAYED}/alice`, 300);
  await expect(page.getByRole('status')).toContainText('You are blocked');
  await shownNothing(page.locator('video'), free.locator('video'));
  await block(page.request, `${PLAYED}/alice`, 0);
  await moves(page.locator('video'));
  await expect(stage(page)).toHaveAttribute('data-state', 'playing');
  await free.close();
});

test.describe('in a page of somebody else', () => {
  const frame = (source: string, allow: string) => `<title>Somebody</title><iframe title="stream" src="${source}" width="640" height="560" allow="${allow}"></iframe>`;

  test('the snippet that the panel gives plays as it stands', async ({ page, context }) => {
    await page.goto(`/#/streams/live/${STREAM}`);
    const snippet = await page.locator('code').filter({ hasText: '<iframe' }).textContent();
    const other = await serve(snippet ?? '');
    const embedder = await context.newPage();
    await embedder.goto(other.origin);
    const framed = embedder.frameLocator('iframe');
    await moves(framed.locator('video'));
    expect(await framed.locator('video').evaluate((player: HTMLVideoElement) => player.muted)).toBe(true);
    await embedder.close();
    other.close();
  });

  // Nothing but a click in the page around, passed on by `allow`, lets a frame begin with sound.
  for (const [mute, allow, clicks, muted] of [
    ['false', 'autoplay; fullscreen', true, false],
    ['false', 'autoplay; fullscreen', false, true],
    ['false', '', true, true],
    ['true', 'autoplay; fullscreen', true, true],
  ] as const) {
    test(`mute=${mute}, ${clicks ? 'after a click' : 'unasked'}, with allow="${allow}", plays ${muted ? 'without' : 'with'} sound`, async ({ context, server }) => {
      for (const order of ['webrtc', 'hls']) {
        const html = frame(server.http + play(`&mute=${mute}&playOrder=${order}`), allow);
        const button = `<button onclick="this.outerHTML = document.querySelector('template').innerHTML">Watch</button>`;
        const other = await serve(clicks ? `${button}<template>${html}</template>` : html);
        const embedder = await context.newPage();
        // Whatever Playwright asks a page for is a click in it, for Chromium; so the page tells by itself.
        await embedder.addInitScript(() => addEventListener('playing', ({ target }) => console.log(`muted: ${(target as HTMLVideoElement).muted}`), true));
        const begun = embedder.waitForEvent('console', (message) => message.text().startsWith('muted: '));
        await embedder.goto(other.origin);
        if (clicks) await embedder.getByRole('button').click();
        expect((await begun).text()).toBe(`muted: ${muted}`);
        await moves(embedder.frameLocator('iframe').locator('video'));
        await embedder.close();
        other.close();
      }
    });
  }

  for (const [source, allow, goes] of [
    ['Camera', 'camera; microphone; display-capture', true],
    ['Camera', 'autoplay', false],
    ['Screen', 'camera; microphone; display-capture', true],
    ['Screen', 'camera; microphone', false],
  ] as const) {
    test(`the publish page ${goes ? 'publishes' : 'is not given'} the ${source.toLowerCase()} with allow="${allow}"`, async ({ context, server }) => {
      const other = await serve(frame(`${server.http}/live/publish.html?id=${OWN}`, allow));
      const embedder = await context.newPage();
      await embedder.goto(other.origin);
      const framed = embedder.frameLocator('iframe');
      await framed.getByLabel(source).check();
      await framed.getByRole('button', { name: 'Start' }).click();
      if (goes) await expect(framed.locator('main')).toHaveAttribute('data-state', 'live');
      else await expect(framed.getByRole('alert')).toContainText('in the page around this one');
      await embedder.close();
      other.close();
    });
  }

  test('the panel is not shown', async ({ context, server }) => {
    const other = await serve(frame(`${server.http}/`, ''));
    const embedder = await context.newPage();
    const refused = embedder.waitForEvent('console', (message) => message.text().includes('frame-ancestors'));
    await embedder.goto(other.origin);
    await refused;
    await embedder.close();
    other.close();
  });
});

test.describe('who publishes', () => {
  const studio = (more = '') => `/LiveApp/publish.html?id=${OWN}${more}`;
  const asBob = async (request: APIRequestContext) => `&subscriberId=bob-the-host&subscriberCode=${await code(request, `${STUDIO}/subscribers/bob-the-host`, 'publish')}`;
  const start = (page: Page) => page.getByRole('button', { name: 'Start' }).click();
  const isOn = (page: Page) => expect(stage(page)).toHaveAttribute('data-state', 'live');

  test('is told beside the field what is wrong with the stream or the code, and corrects it', async ({ page }) => {
    await page.goto(studio('&subscriberId=bob-the-host&subscriberCode=000000'));
    await page.getByLabel('Stream', { exact: true }).fill('a/b');
    await start(page);
    await expect(page.getByLabel('Stream', { exact: true })).toBeFocused();
    await expect(page.getByLabel('Stream', { exact: true })).toHaveAccessibleDescription(/Letters, digits/);
    await page.getByLabel('Stream', { exact: true }).fill(OWN);
    await start(page);
    const field = page.getByLabel('Code');
    await expect(field).toHaveAccessibleDescription(/Not allowed to publish/);
    await expect(field).toBeFocused();
    await expect(field).toHaveValue('000000');
    await expect(page.getByLabel('Subscriber')).toHaveValue('bob-the-host');
    const held = () => page.locator('video').evaluate((video: HTMLVideoElement) => video.srcObject !== null);
    expect(await held(), 'the camera is let go').toBe(false);
    await accessible(page);
    await field.fill(await code(page.request, `${STUDIO}/subscribers/bob-the-host`, 'publish'));
    await start(page);
    await isOn(page);
    await expect(field).not.toHaveAttribute('aria-invalid', 'true');
    await page.getByRole('button', { name: 'Stop' }).click();
  });

  test('is told beside the stream that it is not registered, or over', async ({ page }) => {
    const access = await asBob(page.request);
    await set(page.request, 'LiveApp', { enableTimeTokenForPublish: false, acceptOnlyStreamsInDataStore: true });
    const over = { streamId: 'over', plannedStartDate: 1, plannedEndDate: 2 };
    expect((await page.request.post('/LiveApp/rest/v2/broadcasts/create', { data: over })).ok()).toBe(true);
    await page.goto(`/LiveApp/publish.html?id=nothing-like-it${access}`);
    const field = page.getByLabel('Stream', { exact: true });
    const isWrong = async (why: RegExp) => {
      await start(page);
      await expect(field).toHaveAccessibleDescription(why);
      await expect(field).toBeFocused();
      await expect(page.getByLabel('Code')).not.toHaveAttribute('aria-invalid', 'true');
    };
    await isWrong(/not registered/);
    await expect(field).toHaveValue('nothing-like-it');
    await expect(page.getByLabel('Subscriber')).toHaveValue('bob-the-host');
    await accessible(page);
    await field.fill('over');
    await isWrong(/not open for publishing now/);
    await set(page.request, 'LiveApp', { acceptOnlyStreamsInDataStore: false });
    await field.fill(OWN);
    await start(page);
    await isOn(page);
    await expect(field).not.toHaveAttribute('aria-invalid', 'true');
  });

  test('is told of a block, and is live again by himself after it', async ({ page, context, server, problems }) => {
    const bob = await beside(context, server, problems);
    await bob.goto(studio(await asBob(page.request)));
    await start(bob);
    await isOn(bob);
    await page.goto(`/LiveApp/play.html?id=${OWN}`);
    await moves(page.locator('video'));
    await block(page.request, `${STUDIO}/subscribers/bob-the-host`, 300);
    await expect(bob.getByRole('status')).toContainText('You are blocked from publishing');
    await expect(stage(page)).toHaveAttribute('data-state', 'waiting');
    await block(page.request, `${STUDIO}/subscribers/bob-the-host`, 0);
    await isOn(bob);
    await moves(page.locator('video'));
    await bob.close();
  });

  test('is told why he is asked for a code when a block outlives his', async ({ page }) => {
    const carl = { subscriberId: 'carl-in-haste', b32Secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', type: 'publish', totpExpiryPeriodSeconds: 10 };
    await page.request.post(`${STUDIO}/subscribers`, { data: carl });
    const query = `&subscriberId=carl-in-haste&subscriberCode=${await code(page.request, `${STUDIO}/subscribers/carl-in-haste`, 'publish')}`;
    await page.goto(studio(query));
    await start(page);
    await isOn(page);
    await block(page.request, `${STUDIO}/subscribers/carl-in-haste`, 300);
    await expect(page.getByRole('status')).toContainText('You are blocked from publishing');
    await expect(page.getByLabel('Code')).toHaveAccessibleDescription(/You were blocked, and your code has expired/);
    await block(page.request, `${STUDIO}/subscribers/carl-in-haste`, 0);
  });

  test("is told of an administrator's stop at once", async ({ page }) => {
    const said: string[] = [];
    await page.exposeFunction('said', (state: string) => void said.push(state));
    await page.goto(studio(await asBob(page.request)));
    await start(page);
    await isOn(page);
    await stage(page).evaluate((main) => new MutationObserver(() => void (window as unknown as { said: (state?: string) => void }).said(main.dataset['state'])).observe(main, { attributes: true }));
    expect((await (await page.request.post(`${STUDIO}/stop`)).json()).success).toBe(true);
    await expect.poll(() => said[0]).toBe('ended');
    await isOn(page);
  });

  test('elsewhere with the same code ends here, and stays ended', async ({ page, context, server, problems }) => {
    const access = await asBob(page.request);
    await page.goto(studio(access));
    await start(page);
    await isOn(page);
    const other = await beside(context, server, problems);
    await other.goto(studio(access));
    await start(other);
    await expect(page.getByLabel('Code')).toHaveAccessibleDescription(/goes on elsewhere/);
    await expect(page.getByRole('button', { name: 'Start' })).toBeVisible();
    await isOn(other);
    await other.close();
  });

  test('is not stopped by an earlier start that the browser refuses later', async ({ page }) => {
    await page.addInitScript(() => {
      const devices = navigator.mediaDevices;
      const real = devices.getUserMedia.bind(devices);
      devices.getUserMedia = () =>
        new Promise((_, refuse) => {
          devices.getUserMedia = real;
          Object.assign(window, { refuse: () => refuse(new DOMException('', 'NotAllowedError')) });
        });
    });
    await page.goto(studio(await asBob(page.request)));
    await start(page);
    await page.getByRole('button', { name: 'Stop' }).click();
    await start(page);
    await isOn(page);
    await page.evaluate(() => (window as unknown as { refuse: () => void }).refuse());
    await moves(page.locator('video'));
    await expect(page.getByRole('alert')).toHaveCount(0);
    await isOn(page);
  });
});
