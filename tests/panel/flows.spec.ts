// Every flow of the panel, against a live server with an ffmpeg publisher.
import { createHmac } from 'node:crypto';
import jsQR from 'jsqr';
import { between, Publisher, serve } from './server.ts';
import type { Locator } from '@playwright/test';
import { accessible, ADMIN, expect, frames, isLive, logIn, moves, NO_SOCKET, STREAM, test, watch } from './fixtures.ts';

test.describe.configure({ mode: 'serial' });

/** What a phone reads. */
async function qrCode(image: Locator): Promise<URL> {
  const { data, width, height } = await image.evaluate(async (svg) => {
    const picture = new Image();
    picture.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
    await picture.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [400, 400];
    const context = canvas.getContext('2d')!;
    context.fillStyle = '#fff';
    context.fillRect(0, 0, 400, 400);
    context.drawImage(picture, 20, 20, 360, 360);
    return { data: [...context.getImageData(0, 0, 400, 400).data], width: 400, height: 400 };
  });
  const found = jsQR.default(Uint8ClampedArray.from(data), width, height);
  expect(found, 'the picture is a QR code').not.toBeNull();
  return new URL(found?.data ?? '');
}

/** The code of now (RFC 6238) as an authenticator app makes it from an address. */
function totp(address: URL): string {
  const [secret, period] = [address.searchParams.get('secret') ?? '', Number(address.searchParams.get('period'))];
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 1000 / period)));
  const mac = createHmac('sha1', key).update(counter).digest();
  const number = mac.readUInt32BE((mac.at(-1) ?? 0) & 15) & 0x7fff_ffff;
  return String(number % 1_000_000).padStart(6, '0');
}
const ABROAD = 'leser@exämple.org';
const SUBSCRIBERS = `/#/streams/live/${STREAM}/subscribers`;
const REST = `/live/rest/v2/broadcasts/${STREAM}/subscribers`;

test('the wizard makes the first administrator and says what is wrong beside the field', async ({ page, server }) => {
  await page.goto(server.printed);
  await expect(page.getByRole('heading', { name: 'Set up Sluice' })).toBeVisible();
  await expect(page.getByLabel('Set-up token')).toHaveValue(/^[A-Z2-7]{32}$/);
  expect(page.url()).not.toContain('setup');
  await page.getByLabel('E-mail address').fill('nobody');
  await page.getByRole('button', { name: 'Create the account' }).click();
  await expect(page.getByLabel('E-mail address')).toBeFocused();
  await expect(page.getByLabel('E-mail address')).toHaveAccessibleDescription(/such as me@example.org/);
  // No browser may write an address anew.
  await page.getByLabel('E-mail address').fill(ABROAD);
  await expect(page.getByLabel('E-mail address')).toHaveValue(ABROAD);
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
  await page.getByLabel('Password again').fill('something else');
  await page.getByRole('button', { name: 'Create the account' }).click();
  await expect(page.getByLabel('Password again')).toHaveAccessibleDescription(/not the same/);
  await expect(page.getByLabel('E-mail address')).toHaveValue(ADMIN.email);
  await page.getByLabel('Password again').fill(ADMIN.password);
  await page.getByLabel('First name').fill(ADMIN.firstName);
  await accessible(page);
  await page.getByRole('button', { name: 'Create the account' }).click();
  await expect(page.getByRole('heading', { name: 'Streams' })).toBeVisible();
});

test('a login with a wrong password is refused in words, and with the right one goes in', async ({ page }) => {
  await page.goto('/');
  // An account that was made on the machine may have any name.
  await page.getByLabel('E-mail address').fill('admin');
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByLabel('Password')).toHaveAccessibleDescription(/that you log in with/);
  await expect(page.getByLabel('Password')).toBeFocused();
  await page.getByLabel('Password').fill('not this');
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('alert')).toContainText(/wrong/i);
  await expect(page.getByLabel('E-mail address')).toHaveValue('admin');
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Password').fill(ADMIN.password);
  await accessible(page);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('heading', { name: 'Streams' })).toBeVisible();
  await page.getByRole('button', { name: 'Account and appearance' }).click();
  await page.getByRole('menuitem', { name: 'Log out' }).click();
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
});

test('the overview shows the stream with numbers that move by themselves', async ({ page, publisher: _ }) => {
  await logIn(page.request);
  await isLive(page.request);
  await page.goto('/#/streams/live');
  const row = page.getByTestId(`stream-${STREAM}`);
  await expect(row).toContainText('H.264 640×360');
  await expect(row).toContainText('RTMP');
  await expect(row.getByTestId('rate')).toContainText(/bit\/s/);
  const since = await row.locator('.since').textContent();
  await expect(row.locator('.since')).not.toHaveText(since ?? '');
  await expect(page.getByTestId('live-count')).toHaveText('1');
  const picture = row.locator('img');
  await expect.poll(() => picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(0);
  await page.getByLabel('Search streams').fill('nothing-like-it');
  await expect(page.getByText('No stream matches')).toBeVisible();
  await page.getByLabel('Search streams').fill('camera');
  await expect(row).toBeVisible();
  await accessible(page);
});

test('a stream has a moving preview, addresses to copy, and sessions that can be stopped', async ({ page, server, publisher: _ }) => {
  await logIn(page.request);
  await isLive(page.request);
  await page.goto(`/#/streams/live/${STREAM}`);
  const preview = page.getByRole('region', { name: 'Preview' });
  await expect(preview).toHaveAttribute('data-state', 'playing', { timeout: 60_000 });
  await moves(preview.locator('video'));
  await expect(page.getByText(`${server.rtmp}/live`, { exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Copy OBS stream key' }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(STREAM);
  for (const part of ['/live/whip/', '/live/streams/camera-1.m3u8', '<iframe', 'ffmpeg -re']) {
    await expect(page.locator('code').filter({ hasText: part }).first()).toBeVisible();
  }
  await accessible(page);
  await page.getByRole('tab', { name: /Sessions/ }).click();
  const publisher = page.getByRole('row').filter({ hasText: 'Publisher' });
  await expect(publisher).toContainText('RTMP');
  await expect(publisher).toContainText('127.0.0.1');
  await accessible(page);
});

test('a session is stopped from the list', async ({ page, context, server, problems, publisher: _ }) => {
  await logIn(page.request);
  const viewer = await context.newPage();
  watch(viewer, server, problems);
  await viewer.goto(`/live/play.html?id=${STREAM}&playOrder=webrtc`);
  await moves(viewer.locator('video'));
  await page.goto(`/#/streams/live/${STREAM}/sessions`);
  const session = page.getByRole('row').filter({ hasText: 'Anonymous' });
  await expect(session).toHaveCount(1);
  await expect(page.getByTestId('sessions-count')).toHaveText('2 sessions');
  await expect(session.locator('[data-label=Lag]')).toHaveText(/^[\d,]+ ms$/);
  await expect(page.getByRole('row').filter({ hasText: 'Publisher' }).locator('[data-label=Lag]')).toHaveText('–');
  await page.getByLabel('Search sessions').fill('rtmp');
  await expect(session).toHaveCount(0);
  await expect(page.getByTestId('sessions-count')).toHaveText('1 session');
  await page.getByLabel('Search sessions').fill('nobody-of-that-name');
  await expect(page.getByText('No session matches')).toBeVisible();
  await page.getByLabel('Search sessions').fill('webrtc');
  await expect(session).toHaveCount(1);
  const first = await session.getAttribute('data-testid');
  await session.getByRole('button', { name: /^Stop/ }).click();
  await page.getByRole('button', { name: 'Stop the session', exact: true }).click();
  await expect(page.getByText('The session was stopped.')).toBeVisible();
  await expect(page.getByTestId(first ?? '')).toHaveCount(0);
  await viewer.close();
});

test('a subscriber is added with a secret that is valid, and shown as a QR code', async ({ page }) => {
  await logIn(page.request);
  // Who is found by the same search must not lend a period of another length.
  await page.request.post(REST, { data: { subscriberId: 'Malice', type: 'play', totpExpiryPeriodSeconds: 30 } });
  const every = (seconds: number) => page.request.post('/rest/v2/applications/settings/live', { data: { timeTokenPeriod: seconds } });
  await every(90);
  await page.goto(SUBSCRIBERS);
  await page.getByRole('button', { name: 'Add a subscriber' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByLabel('Code period')).toHaveValue('');
  await expect(dialog.getByLabel('Code period')).toHaveAttribute('placeholder', "The application's");
  await expect(dialog.getByLabel('Secret', { exact: true })).toHaveValue(/^[A-Z2-7]{32}$/);
  await dialog.getByLabel('Subscriber id').fill('bob');
  await dialog.getByRole('button', { name: 'Add the subscriber' }).click();
  await expect(dialog.getByLabel('Subscriber id')).toHaveAccessibleDescription(/At least 4/);
  await dialog.getByLabel('Subscriber id').fill('alice');
  await dialog.getByLabel('Secret', { exact: true }).fill('ABC');
  await dialog.getByRole('button', { name: 'Add the subscriber' }).click();
  await expect(dialog.getByLabel('Secret', { exact: true })).toHaveAccessibleDescription(/multiple of 8/);
  await expect(dialog.getByLabel('Subscriber id')).toHaveValue('alice');
  await dialog.getByRole('button', { name: 'Generate' }).click();
  await accessible(page);
  await dialog.getByRole('button', { name: 'Add the subscriber' }).click();
  const said = await qrCode(dialog.getByRole('img', { name: 'QR code' }));
  await expect(dialog.getByText(/^[A-Z2-7]{32}$/)).toHaveText(said.searchParams.get('secret') ?? '');
  expect(decodeURIComponent(said.pathname)).toContain(`alice@${STREAM}`);
  expect(said.searchParams.get('period')).toBe('90');
  // It is not shown again, so a key that is pressed too much does not take it away.
  await page.keyboard.press('Escape');
  await dialog.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByTestId('subscriber-alice')).toContainText('play');
  await every(60);
  await page.request.delete(`${REST}/Malice`);
  // A phone makes the code that the server makes.
  await expect
    .poll(async () => {
      const { dataId } = await (await page.request.get(`${REST}/alice/totp?type=play`)).json();
      return totp(said) === dataId;
    })
    .toBe(true);
});

test('the code that is shown is the one that the server makes', async ({ page }) => {
  await logIn(page.request);
  await page.goto(SUBSCRIBERS);
  await page.getByRole('button', { name: 'Code of alice' }).click();
  const shown = page.getByTestId('code');
  await expect(shown).toHaveText(/^\d{3} \d{3}$/);
  // The step may change between the two looks, so both are taken until they meet.
  await expect
    .poll(async () => {
      const answer = await (await page.request.get(`${REST}/alice/totp?type=play`)).json();
      return (await shown.textContent())?.replace(' ', '') === answer.dataId;
    })
    .toBe(true);
  await accessible(page);
});

test('settings are saved, secrets generated, and a refused value told beside its field', async ({ page }) => {
  await logIn(page.request);
  await page.goto('/#/settings/live');
  const period = page.locator('[name=timeTokenPeriod]');
  await period.fill('0');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(period).toHaveAttribute('aria-invalid', 'true');
  await expect(period).toBeFocused();
  await period.fill('60');
  const networks = page.locator('[name=remoteAllowedCIDR]');
  const before = await networks.inputValue();
  await networks.fill('not a network');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(networks).toHaveAttribute('aria-invalid', 'true');
  await expect(networks).toHaveValue('not a network');
  await networks.fill(before);
  await page.locator('[name=enableTimeTokenForPlay]').check();
  const secret = page.locator('[name=timeTokenSecretForPlay]');
  await secret.locator('xpath=..').getByRole('button', { name: /Generate/ }).click();
  await expect(secret).toHaveValue(/^[A-Z2-7]{32}$/);
  await accessible(page);
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Everything is saved')).toBeVisible();
  await expect(secret).toHaveValue('********');
  await page.reload();
  await expect(page.locator('[name=enableTimeTokenForPlay]')).toBeChecked();
});

test('a block stops the player, which says so; an unblock brings the picture back', async ({ page, context, server, problems, publisher: _ }) => {
  await logIn(page.request);
  await isLive(page.request);
  await page.request.post(REST, { data: { subscriberId: 'free-viewer', b32Secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', type: 'play' } });
  const open = async (subscriber: string, order: string) => {
    const { dataId } = await (await page.request.get(`${REST}/${subscriber}/totp?type=play`)).json();
    const viewer = await context.newPage();
    watch(viewer, server, problems);
    await viewer.goto(`/live/play.html?id=${STREAM}&subscriberId=${subscriber}&subscriberCode=${dataId}&playOrder=${order}`);
    await moves(viewer.locator('video'));
    return viewer;
  };
  const free = await open('free-viewer', 'webrtc');
  for (const order of ['webrtc', 'hls']) {
    const alice = await open('alice', order);
    await page.goto(SUBSCRIBERS);
    await page.getByRole('button', { name: 'Block alice' }).click();
    await page.getByRole('radio', { name: /Watching/ }).check();
    await page.getByRole('radio', { name: '5 minutes' }).check();
    await page.getByRole('dialog').getByRole('button', { name: 'Block', exact: true }).click();
    await expect(page.getByTestId('subscriber-alice')).toContainText(/Watching blocked, [45] min/);
    await expect(alice.getByRole('status')).toContainText('You are blocked');
    const video = alice.locator('video');
    // Not even what hls.js holds already is shown to its end.
    if (order === 'hls') expect(await video.evaluate((player: HTMLVideoElement) => player.paused)).toBe(true);
    // While somebody else sees two seconds of pictures, this player sees none.
    await expect
      .poll(async () => {
        const [mine, others] = [await frames(video), await frames(free.locator('video'))];
        await expect.poll(() => frames(free.locator('video'))).toBeGreaterThan(others + 60);
        return (await frames(video)) - mine;
      }, { timeout: 60_000 })
      .toBe(0);
    await page.getByRole('button', { name: 'Unblock alice' }).click();
    await expect(page.getByTestId('subscriber-alice').getByRole('button', { name: 'Block alice' })).toBeVisible();
    await moves(video);
    await expect(alice.locator('main')).toHaveAttribute('data-state', 'playing');
    await alice.close();
  }
  await free.close();
});

for (const way of ['webrtc', 'hls']) {
  test(`the preview moves by ${way} where playing needs the code of a registered subscriber`, async ({ page, context, server, problems, publisher: _ }) => {
    await logIn(page.request);
    await isLive(page.request);
    const strict = async (on: boolean) => {
      const settings = { enableTimeTokenForPlay: true, acceptOnlyStreamsInDataStore: on };
      const answer = await page.request.post('/rest/v2/applications/settings/live', { data: settings });
      expect((await answer.json()).success).toBe(true);
    };
    // Where no WebSocket passes, there is no WebRTC.
    const network = await between(server);
    network.lets = (path) => way === 'webrtc' || !path.includes('/websocket');
    try {
      await strict(true);
      const stranger = await page.request.get(`/live/streams/${STREAM}.m3u8`);
      expect(stranger.status()).toBe(403);
      const viewer = await context.newPage();
      watch(viewer, { http: network.origin }, problems, way === 'hls' ? NO_SOCKET : undefined);
      await viewer.goto(`${network.origin}/#/streams/live/${STREAM}`);
      const preview = viewer.getByRole('region', { name: 'Preview' });
      await expect(preview).toHaveAttribute('data-state', 'playing');
      await moves(preview.locator('video'));
      await expect(preview).toHaveAttribute('data-way', way);
      await expect(preview).toContainText(way === 'hls' ? 'HLS' : 'WebRTC');
      await viewer.close();
    } finally {
      network.close();
      await strict(false);
    }
  });
}

test('the player page plays in a frame of another origin', async ({ page, context, server, publisher: _ }) => {
  await logIn(page.request);
  const { dataId } = await (await page.request.get(`${REST}/alice/totp?type=play`)).json();
  const source = `${server.http}/live/play.html?id=${STREAM}&subscriberId=alice&subscriberCode=${dataId}`;
  const other = await serve(`<iframe title="stream" width="640" height="360" allow="autoplay" src="${source}"></iframe>`);
  const embedder = await context.newPage();
  await embedder.goto(other.origin);
  await moves(embedder.frameLocator('iframe').locator('video'));
  await embedder.close();
  other.close();
});

for (const source of ['Camera', 'Screen']) {
  test(`a browser publishes its ${source.toLowerCase()}, and who watches sees it move`, async ({ page, context, server, problems }) => {
    await logIn(page.request);
    const publisher = await context.newPage();
    watch(publisher, server, problems);
    await publisher.goto('/live/publish.html?id=browser-1');
    await accessible(publisher);
    await publisher.getByLabel(source).check();
    await publisher.getByRole('button', { name: 'Start' }).click();
    await expect(publisher.locator('main')).toHaveAttribute('data-state', 'live', { timeout: 60_000 });
    await page.goto('/#/streams/live');
    await expect(page.getByTestId('stream-browser-1')).toContainText('WebRTC');
    await page.goto('/#/streams/live/browser-1');
    await moves(page.getByRole('region', { name: 'Preview' }).locator('video'));
    await page.goto('/#/streams/live');
    await publisher.getByRole('button', { name: 'Stop' }).click();
    await expect(page.getByTestId('stream-browser-1')).toHaveCount(0);
    await publisher.close();
  });
}

test('subscribers come in from a CSV file, bad lines are told, and go out again', async ({ page }) => {
  await logIn(page.request);
  await page.goto(SUBSCRIBERS);
  await page.getByRole('button', { name: 'Import' }).click();
  const rows = Array.from({ length: 60 }, (_, n) => `imported-${String(n).padStart(2, '0')},Name ${n},play,JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP,1,60`);
  const csv = ['subscriberId,subscriberName,type,b32Secret,concurrentConnectionsLimit,totpExpiryPeriodSeconds', ...rows, 'x,Bad,play,ABC,1,60'].join('\n');
  await page.getByLabel('File').setInputFiles({ name: 'subscribers.csv', mimeType: 'text/csv', buffer: Buffer.from(csv) });
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByLabel('Lines')).toHaveValue(/imported-59/);
  await page.getByLabel('File').setInputFiles({ name: 'old.csv', mimeType: 'text/csv', buffer: Buffer.from('subscriberId,subscriberName\nolder,Zoë', 'latin1') });
  await expect(dialog.getByRole('alert')).toHaveText('The file is not UTF-8. Save it as CSV UTF-8.');
  await expect(dialog.getByLabel('Lines')).toHaveValue(/imported-59/);
  await dialog.getByRole('button', { name: 'Import' }).click();
  await expect(dialog.getByRole('status')).toContainText('60 added, 1 refused');
  await expect(dialog.getByText(/Line 62/)).toBeVisible();
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByLabel('Search subscribers').fill('imported');
  await expect(page.getByTestId('subscriber-alice')).toHaveCount(0);
  await expect(page.getByTestId('subscriber-imported-00')).toBeVisible();
  await page.getByRole('button', { name: 'Next page' }).click();
  await expect(page.getByText('26–50 of 60')).toBeVisible();
  await expect(page.getByTestId('subscribers-count')).toHaveText('60 subscribers');
  await page.getByRole('button', { name: 'Next page' }).click();
  await expect(page.getByText('51–60 of 60')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Next page' })).toBeDisabled();
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Export' }).click();
  expect((await download).suggestedFilename()).toContain(STREAM);
});

test('users are added with a role, and a reader can change nothing', async ({ page, browser, server }) => {
  await logIn(page.request);
  await page.goto('/#/users');
  await page.getByRole('button', { name: 'Add a user' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('E-mail address').fill(ABROAD);
  await dialog.getByLabel('Role').selectOption('READ_ONLY');
  await dialog.getByLabel('Password').fill('short');
  await dialog.getByRole('button', { name: 'Add the user' }).click();
  await expect(dialog.getByLabel('Password')).toHaveAccessibleDescription(/At least 8/);
  await dialog.getByLabel('Password').fill('reader password');
  await accessible(page);
  await dialog.getByRole('button', { name: 'Add the user' }).click();
  await expect(page.getByTestId(`user-${ABROAD}`)).toContainText('Read only');
  await accessible(page);

  const reader = await browser.newContext({ baseURL: server.http });
  await logIn(reader.request, { email: ABROAD, password: 'reader password' });
  const his = await reader.newPage();
  await his.goto(SUBSCRIBERS);
  await expect(his.getByTestId('subscriber-alice')).toBeVisible();
  await expect(his.getByRole('button', { name: /^(Block|Add)/ })).toHaveCount(0);
  await expect(his.getByRole('link', { name: 'Settings' })).toHaveCount(0);
  await reader.close();

  await page.getByTestId(`user-${ABROAD}`).getByRole('button', { name: /Remove/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await expect(page.getByTestId(`user-${ABROAD}`)).toHaveCount(0);
});

test('the audit log says who blocked whom', async ({ page }) => {
  await logIn(page.request);
  await page.goto('/#/audit');
  const block = page.getByRole('row').filter({ hasText: 'alice' }).filter({ hasText: ADMIN.email });
  await expect(block.first()).toBeVisible();
  // What is shown is found.
  for (const words of ['alice', 'Blocked', 'watching, 5 min']) {
    await page.getByLabel('Search the log').fill(words);
    await expect(page.getByRole('row').filter({ hasNotText: words })).toHaveCount(1);
    await expect(block.filter({ hasText: 'Blocked' }).filter({ hasText: 'watching, 5 min' }).first()).toBeVisible();
  }
  await page.getByLabel('Search the log').fill('nobody-of-that-name');
  await expect(page.getByText('No entry matches')).toBeVisible();
  await accessible(page);
});

test('a stream is registered, stopped and deleted', async ({ page, server }) => {
  await logIn(page.request);
  await page.goto('/#/streams/nosuch');
  await page.getByRole('main').getByRole('link', { name: 'live', exact: true }).click();
  await page.getByRole('button', { name: 'Register a stream' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Stream id').fill('a/b');
  await dialog.getByRole('button', { name: 'Register' }).click();
  await expect(dialog.getByLabel('Stream id')).toHaveAttribute('aria-invalid', 'true');
  await dialog.getByLabel('Stream id').fill('stage');
  await dialog.getByRole('button', { name: 'Register' }).click();
  await expect(page.getByRole('heading', { name: 'stage' })).toBeVisible();
  await expect(page.getByText('Offline', { exact: true })).toBeVisible();
  const charts = page.getByRole('figure');
  await expect(charts).toHaveCount(0);
  const publisher = Publisher.start(server, 'stage');
  await expect(page.getByText('Live', { exact: true })).toBeVisible();
  await expect(charts).toHaveCount(2);
  await page.getByRole('button', { name: 'Stop the stream' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Stop the stream' }).click();
  await expect(page.getByText('Offline', { exact: true })).toBeVisible();
  await expect(charts).toHaveCount(2);
  await publisher.stop();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('heading', { name: 'Streams' })).toBeVisible();
  await page.getByLabel('Live only').uncheck();
  await expect(page.getByTestId('stream-stage')).toHaveCount(0);
});

test('a stream that is not registered is told to be off when its publisher leaves, and comes back with it', async ({ page, server }) => {
  await logIn(page.request);
  let publisher = Publisher.start(server, 'passing');
  await isLive(page.request, 'passing');
  await page.goto('/#/streams/live/passing');
  await expect(page.getByText('Live', { exact: true })).toBeVisible();
  await publisher.stop();
  await expect(page.getByText('Nobody publishes this stream')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Stop the stream' })).toHaveCount(0);
  publisher = Publisher.start(server, 'passing');
  await expect(page.getByText('Live', { exact: true })).toBeVisible();
  await publisher.stop();
});

test('a publisher is blocked from the list of sessions, and its events tell of it', async ({ page, server }) => {
  await logIn(page.request);
  await page.request.post('/rest/v2/applications/settings/live', { data: { writeSubscriberEventsToDatastore: true } });
  const publisher = Publisher.start(server, 'camera-2?subscriberId=carol');
  await isLive(page.request, 'camera-2');
  await page.goto('/#/streams/live/camera-2/sessions');
  await page.getByRole('button', { name: 'Block carol' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByRole('radio', { name: /Publishing/ })).toBeChecked();
  await dialog.getByRole('radio', { name: 'Other' }).check();
  await dialog.getByLabel('How long').fill('0');
  await dialog.getByRole('button', { name: 'Block', exact: true }).click();
  await expect(dialog.getByLabel('How long')).toHaveAccessibleDescription(/above 0/);
  await dialog.getByLabel('How long').fill('2');
  await dialog.getByRole('button', { name: 'Block', exact: true }).click();
  await expect(page.getByText('Nobody publishes this stream')).toBeVisible();
  await publisher.stop();
  await page.goto('/#/streams/live/camera-2/events');
  const rows = page.getByRole('row').filter({ hasText: 'carol' });
  await expect(rows).toHaveCount(2);
  await expect(rows.first()).toContainText('disconnected');
  await page.getByLabel('Search events').fill('nobody-at-all');
  await expect(page.getByText('No event matches “nobody-at-all”.')).toBeVisible();
  await page.getByLabel('Search events').fill('AROL');
  await expect(rows).toHaveCount(2);
});

test('a secret is replaced, and a subscriber removed', async ({ page }) => {
  await logIn(page.request);
  await page.request.post(REST, { data: { subscriberId: 'Zoë with a space', b32Secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', type: 'play', totpExpiryPeriodSeconds: 45 } });
  await page.goto(SUBSCRIBERS);
  await page.getByLabel('Search subscribers').fill('Zoë with ');
  const row = page.getByTestId('subscriber-Zoë with a space');
  await expect(page.getByLabel('Search subscribers')).toHaveValue('Zoë with ');
  await row.getByRole('button', { name: /^More/ }).click();
  await page.getByRole('menuitem', { name: 'New secret and QR code' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByLabel('Code period')).toHaveValue('45');
  await dialog.getByLabel('Secret', { exact: true }).fill('1');
  await dialog.getByRole('button', { name: /secret/i }).last().click();
  await expect(dialog.getByLabel('Secret', { exact: true })).toHaveAttribute('aria-invalid', 'true');
  await dialog.getByRole('button', { name: 'Generate' }).click();
  await dialog.locator('form .btn.main').click();
  const said = await qrCode(dialog.getByRole('img', { name: 'QR code' }));
  expect(said.searchParams.get('secret')).not.toBe('JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP');
  await dialog.getByRole('button', { name: 'Done' }).click();
  await row.getByRole('button', { name: /^More/ }).click();
  await page.getByRole('menuitem', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await expect(row).toHaveCount(0);
});

test('what was typed outlives another page and the end of the login', async ({ page, context }) => {
  await logIn(page.request);
  await page.goto('/#/settings/live');
  const period = page.locator('[name=timeTokenPeriod]');
  await period.fill('90');
  await page.getByRole('link', { name: 'Users' }).click();
  await expect(page.getByRole('heading', { name: 'Users' })).toBeVisible();
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(period).toHaveValue('90');
  await context.clearCookies();
  await page.getByRole('button', { name: 'Save' }).click();
  const dialog = page.getByRole('dialog', { name: 'Log in again' });
  await expect(dialog.getByLabel('Password')).toBeFocused();
  await accessible(page);
  // Whoever closes it and then stays, since something is not saved, is asked again.
  page.once('dialog', (question) => void question.dismiss());
  await dialog.getByRole('button', { name: 'Close' }).click();
  await expect(dialog).toBeVisible();
  await dialog.getByLabel('Password').fill(ADMIN.password);
  await dialog.getByRole('button', { name: 'Log in' }).click();
  await expect(dialog).toHaveCount(0);
  await expect(period).toHaveValue('90');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Everything is saved')).toBeVisible();
});

test('whoever logs out with something not saved is asked first, on any page', async ({ page }) => {
  await logIn(page.request);
  await page.goto('/#/settings/live');
  const period = page.locator('[name=timeTokenPeriod]');
  const saved = await period.inputValue();
  await period.fill('95');
  await page.getByRole('link', { name: 'Users' }).click();
  const logOut = async () => {
    await page.getByRole('button', { name: 'Account and appearance' }).click();
    await page.getByRole('menuitem', { name: 'Log out' }).click();
  };
  await logOut();
  const dialog = page.getByRole('dialog', { name: 'Log out?' });
  await expect(dialog).toContainText('the settings of live');
  await accessible(page);
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  // Nor does the browser leave unasked, though the form is not shown.
  const asked = page.waitForEvent('dialog');
  await page.evaluate(() => void setTimeout(() => location.reload()));
  const question = await asked;
  expect(question.type()).toBe('beforeunload');
  await question.dismiss();
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(period).toHaveValue('95');
  // Once is enough.
  page.on('dialog', (again) => {
    throw new Error(`asked twice: ${again.type()}`);
  });
  await logOut();
  await dialog.getByRole('button', { name: 'Log out and drop them' }).click();
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Password').fill(ADMIN.password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(period).toHaveValue(saved);
  await logOut();
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
});

test('a draft survives a server that is away, and hides nobody else\'s change', async ({ page }) => {
  await logIn(page.request);
  await page.goto('/#/settings/live');
  const period = page.locator('[name=timeTokenPeriod]');
  await period.fill('93');
  await page.getByRole('link', { name: 'Users' }).click();
  await page.route('**/rest/v2/panel/settings', (route) => route.abort());
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(page.getByText('The server cannot be reached')).toBeVisible();
  await page.getByRole('link', { name: 'Users' }).click();
  await page.unroute('**/rest/v2/panel/settings');
  await page.request.post('/rest/v2/applications/settings/live', { data: { timeTokenPeriod: 77 } });
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(period).toHaveValue('93');
  await expect(page.getByText('Somebody else saved: 77')).toBeVisible();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(period).toHaveValue('77');
});

test('two who change the same settings both see what the other saved', async ({ page }) => {
  await logIn(page.request);
  await page.goto('/#/settings/live');
  const period = page.locator('[name=timeTokenPeriod]');
  await period.fill('120');
  await page.request.post('/rest/v2/applications/settings/live', { data: { timeTokenPeriod: 75 } });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('button', { name: 'Show theirs beside mine' }).click();
  await expect(page.getByText('Somebody else saved: 75')).toBeVisible();
  await expect(period).toHaveValue('120');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByText('Everything is saved')).toBeVisible();
});

test('a user is changed, and changes the password', async ({ page, browser, server }) => {
  await logIn(page.request);
  await page.request.post('/rest/v2/users', { data: { email: 'joe@example.org', password: 'password of joe', userType: 'READ_ONLY', scope: 'system' } });
  await page.goto('/#/users');
  const row = page.getByTestId('user-joe@example.org');
  await row.getByRole('button', { name: /^Change/ }).click();
  await page.getByRole('dialog').getByLabel('Role').selectOption('USER');
  await page.getByRole('dialog').getByLabel('First name').fill('Joe');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await expect(row).toContainText('Operator');

  const his = await browser.newContext({ baseURL: server.http });
  await logIn(his.request, { email: 'joe@example.org', password: 'password of joe' });
  const joe = await his.newPage();
  await joe.goto('/#/streams/live');
  const open = async () => {
    await joe.getByRole('button', { name: 'Account and appearance' }).click();
    await joe.getByRole('menuitem', { name: 'Change password' }).click();
  };
  await open();
  const dialog = joe.getByRole('dialog');
  await dialog.getByLabel('Present password').fill('not it');
  await dialog.getByLabel('New password', { exact: true }).fill('another of joe');
  await dialog.getByLabel('New password again').fill('another of joe');
  await dialog.getByRole('button', { name: 'Change the password' }).click();
  await expect(dialog.getByLabel('Present password')).toHaveAttribute('aria-invalid', 'true');
  await expect(dialog.getByLabel('New password again')).toHaveValue('another of joe');
  // Whoever comes to this machine later finds nothing typed.
  await dialog.getByRole('button', { name: 'Close' }).click();
  await open();
  await expect(dialog.getByLabel('Present password')).toHaveValue('');
  await dialog.getByLabel('Present password').fill('password of joe');
  await dialog.getByLabel('New password', { exact: true }).fill('another of joe');
  await dialog.getByLabel('New password again').fill('another of joe');
  await dialog.getByRole('button', { name: 'Change the password' }).click();
  await expect(joe.getByText('Your password was changed.')).toBeVisible();
  expect((await his.request.get('/rest/v2/panel/me')).status(), 'this login goes on').toBe(200);
  await logIn(his.request, { email: 'joe@example.org', password: 'another of joe' });
  await his.close();
});

test('a lost connection is told, and the numbers go on when it is back', async ({ page, publisher: _ }) => {
  await logIn(page.request);
  await page.goto('/#/streams/live');
  await expect(page.getByTestId(`stream-${STREAM}`)).toBeVisible();
  await page.route('**/rest/v2/panel/streams**', (route) => route.abort());
  // The stream of events that runs is not a new request; another choice makes one.
  await page.getByLabel('Live only').uncheck();
  await expect(page.getByText('The connection to the server is lost.')).toBeVisible();
  await page.unroute('**/rest/v2/panel/streams**');
  await expect(page.getByText('The connection to the server is lost.')).toHaveCount(0);
  await expect(page.getByTestId(`stream-${STREAM}`)).toBeVisible();
});
