// Every page at both widths in both themes: no page scrolls sideways, axe finds nothing
// serious, and a picture of each goes to `shots/`, to be looked at.
import { join } from 'node:path';
import type { APIRequestContext, Page } from '@playwright/test';
import { accessible, expect, isLive, logIn, SHOTS, STREAM, test } from './fixtures.ts';

const CASTS = '/live/rest/v2/broadcasts';
const REST = `${CASTS}/${STREAM}/subscribers`;
const stream = `/#/streams/live/${STREAM}`;
const list = `${stream}/subscribers`;
type Act = (page: Page) => Promise<unknown>;
const press = (name: string | RegExp): Act => (page) => page.getByRole('button', { name }).first().click();
const choose = (name: string): Act => (page) => page.getByRole('menuitem', { name }).click();
const fill = (label: string, text: string): Act => (page) => page.getByLabel(label, { exact: true }).fill(text);
const agree = (name: string): Act => (page) => page.getByRole('dialog').getByRole('button', { name, exact: true }).click();
const wrong: Act = (page) => page.locator('[aria-invalid=true]').first().waitFor();
const shows = (text: string | RegExp): Act => (page) => page.getByText(text).first().waitFor();
const more = press('More about viewer-01');
const account = press('Account and appearance');
const loses: Act = (page) => page.route('**/rest/v2/panel/streams**', (route) => route.abort());
const refused = '?id=studio&subscriberId=nobody&subscriberCode=000000';

const PAGES: [name: string, path: string, ...acts: Act[]][] = [
  ['overview', '/#/streams/live'],
  ['overview-empty', '/#/streams/LiveApp', shows('Nobody is publishing')],
  ['overview-nothing-found', '/#/streams/live', fill('Search streams', 'nothing'), shows('No stream matches')],
  ['overview-lost', '/#/streams/live', shows('camera-1'), loses, (page) => page.getByLabel('Live only').uncheck(), shows('The connection to the server is lost')],
  ['overview-unknown', '/#/streams/nowhere'],
  ['register', '/#/streams/live', press('Register a stream')],
  ['register-wrong', '/#/streams/live', press('Register a stream'), fill('Stream id', 'a/b'), agree('Register'), wrong],
  ['stream', stream],
  ['stream-stop', stream, press('Stop the stream')],
  ['stream-offline', '/#/streams/live/registered', shows('Nobody is publishing')],
  ['stream-delete', '/#/streams/live/registered', press('Delete')],
  ['stream-gone', '/#/streams/live/nothing-there', shows('Nobody publishes this stream')],
  ['sessions', `${stream}/sessions`, shows('Publisher')],
  ['session-stop', `${stream}/sessions`, press(/^Stop the session/)],
  ['subscribers', list],
  ['subscriber-add', list, press('Add a subscriber')],
  ['subscriber-wrong', list, press('Add a subscriber'), agree('Add the subscriber'), wrong],
  ['subscriber-code', list, press('Code of viewer-01'), shows(/^\d{3} \d{3}$/)],
  ['subscriber-block', list, press('Block viewer-01')],
  ['subscriber-block-other', list, press('Block viewer-01'), (page) => page.getByRole('radio', { name: 'Other' }).check({ force: true }), fill('How long', '0'), agree('Block'), wrong],
  ['subscriber-menu', list, more],
  ['subscriber-events', list, more, choose('Connection events'), shows('No connection was recorded')],
  ['subscriber-secret', list, more, choose('New secret and QR code')],
  ['subscriber-made', list, more, choose('New secret and QR code'), agree('Replace the secret'), shows('viewer-01 has a new secret')],
  ['subscriber-remove', list, more, choose('Remove')],
  ['subscribers-none', '/#/streams/live/registered/subscribers', shows('This stream has no subscribers')],
  ['import', list, press('Import')],
  ['import-refused', list, press('Import'), fill('Lines', 'subscriberId,type\nx,play\n'), agree('Import'), shows('Line 2')],
  ['events', `${stream}/events`, shows('No connection was recorded')],
  ['settings', '/#/settings/live'],
  ['settings-wrong', '/#/settings/live', (page) => page.locator('[name=timeTokenPeriod]').fill('0'), press('Save'), wrong],
  ['users', '/#/users'],
  ['user-add', '/#/users', press('Add a user')],
  ['user-wrong', '/#/users', press('Add a user'), agree('Add the user'), wrong],
  ['user-change', '/#/users', press('Change reader@example.org')],
  ['user-remove', '/#/users', press('Remove reader@example.org')],
  ['audit', '/#/audit', shows('Registered subscriber')],
  ['account', '/#/streams/live', account],
  ['password', '/#/streams/live', account, choose('Change password')],
  ['log-out', '/#/settings/live', (page) => page.locator('[name=timeTokenPeriod]').fill('61'), account, choose('Log out')],
  ['log-in-again', '/#/streams/live', shows('camera-1'), (page) => page.request.delete('/rest/v2/users/logout'), shows('Log in again')],
  ['away', '/', (page) => page.route('**/first-login-status', (route) => route.abort()), (page) => page.reload(), shows('The server does not answer')],
  ['play-ask', '/live/play.html'],
  ['play', `/live/play.html?id=${STREAM}`],
  ['play-waiting', '/live/play.html?id=nothing-there', shows('not live yet')],
  ['play-refused', `/LiveApp/play.html${refused}`, wrong],
  ['publish', '/live/publish.html?id=browser-1'],
  ['publish-refused', `/LiveApp/publish.html${refused}`, press('Start'), wrong],
  ['publish-live', '/live/publish.html?id=browser-1', press('Start'), (page) => page.locator('main[data-state=live]').waitFor()],
];

/** Whether nothing covers what has the focus, nor what is said about it (run in the page). */
function seen(): boolean {
  const { activeElement } = document;
  if (!activeElement?.matches('input, select, textarea, button, a')) return true;
  const about = (activeElement.getAttribute('aria-describedby') ?? '').split(' ').map((id) => document.getElementById(id));
  return [activeElement, ...about].every((element) => {
    if (!element?.textContent && element !== activeElement) return true;
    const { left, top, width, height } = element!.getBoundingClientRect();
    const there = document.elementFromPoint(left + width / 2, top + height / 2);
    return there !== null && (element!.contains(there) || there.contains(element!));
  });
}

/** The buttons that a card cuts off (run in the page). */
function cut(): string[] {
  const right = (element: Element) => element.getBoundingClientRect().right;
  const buttons = [...document.querySelectorAll('.card .btn')].filter((button) => button.getBoundingClientRect().width > 0);
  return buttons.filter((button) => right(button) > right(button.closest('.card')!) + 1).map((button) => button.textContent.trim() || button.ariaLabel || '?');
}

async function fits(page: Page, name: string) {
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${name} scrolls sideways`).toBeLessThanOrEqual(0);
  expect(await page.evaluate(cut), `${name} cuts buttons off`).toEqual([]);
}

/** What the pages show something of. */
async function furnish(request: APIRequestContext) {
  for (let n = 0; n < 30; n += 1) {
    await request.post(REST, { data: { subscriberId: `viewer-${String(n).padStart(2, '0')}`, subscriberName: ['Somebody', '', 'anamewithoutanyspace'.repeat(6)][n % 3], b32Secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', type: n % 4 ? 'play' : 'publish' } });
  }
  const long = 'anamewithoutanyplacetobreak'.repeat(5);
  await request.post(REST, { data: { subscriberId: long, b32Secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', type: 'play' } });
  await request.post('/rest/v2/users', { data: { email: `${long}@example.org`, password: 'reader password', userType: 'READ_ONLY', scope: 'system' } });
  await request.put(`${REST}/viewer-02/block/3600/publish_play`);
  await request.post(`${CASTS}/create`, { data: { streamId: 'registered', name: 'The main hall' } });
  await request.post('/rest/v2/users', { data: { email: 'reader@example.org', password: 'reader password', userType: 'READ_ONLY', scope: 'system' } });
  await request.post('/rest/v2/applications/settings/LiveApp', { data: { enableTimeTokenForPlay: true, enableTimeTokenForPublish: true } });
}

test('the wizard and the login fit a phone', async ({ page, server: _ }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const [name, heading] of [['wizard', 'Set up Sluice'], ['login', 'Log in']] as const) {
    for (const scheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.goto('about:blank');
      await page.goto('/');
      await expect(page.getByRole('heading', { name: heading })).toBeVisible();
      await page.screenshot({ path: join(SHOTS, `${name}-phone-${scheme}.png`) });
      await accessible(page);
    }
    // From here on there is somebody who can log in.
    await logIn(page.request);
    await page.request.delete('/rest/v2/users/logout');
  }
});

for (const [size, viewport] of [['desk', { width: 1280, height: 860 }], ['phone', { width: 390, height: 844 }]] as const) {
  test(`every page at ${viewport.width} px`, async ({ page, publisher: _ }) => {
    test.setTimeout(900_000);
    await logIn(page.request);
    await isLive(page.request);
    await furnish(page.request);
    for (const [name, path, ...acts] of PAGES) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
      await page.unrouteAll();
      await page.goto('about:blank');
      await page.goto(path);
      await page.locator('main h1').first().waitFor({ state: 'attached' });
      for (const act of acts) await act(page);
      // What a page asks for has come when nothing is being loaded; streams of events stay.
      if (path === list || path.startsWith('/#/settings')) await expect(page.getByText(/viewer-01|Save/).first()).toBeVisible();
      if (name === 'overview') await expect(page.getByTestId('rate').first()).toContainText('bit/s');
      if (name === 'stream' || name === 'play') await expect(page.locator('[data-state=playing]')).toBeVisible();
      await fits(page, name);
      expect(await page.evaluate(seen), `${name}: what has the focus is seen`).toBe(true);
      // What is behind a dialog or a menu was looked at without it.
      const parts = ['[role=dialog]', '[role=menu]', 'html'];
      const shown = await Promise.all(parts.map((part) => page.locator(part).count()));
      for (const scheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
        await page.screenshot({ path: join(SHOTS, `${name}-${size}-${scheme}.png`) });
        // The dark theme changes nothing but colours.
        if (size === 'phone') await accessible(page, parts.find((_, n) => shown[n]), scheme === 'dark' ? ['color-contrast'] : []);
      }
      if (size === 'desk') continue;
      // At others only the width is in question.
      for (const width of [360, 720, 960, 1152]) {
        await page.setViewportSize({ width, height: 640 });
        await fits(page, `${name} at ${width} px`);
      }
    }
  });
}

test('a dialog is worked by keyboard alone, and gives the focus back', async ({ page, publisher: _ }) => {
  await logIn(page.request);
  await page.goto(list);
  const add = page.getByRole('button', { name: 'Add a subscriber' });
  await add.focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('dialog')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect(add).toBeFocused();
});

test('the theme that was chosen stays', async ({ page, publisher: _ }) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await logIn(page.request);
  await page.goto('/#/streams/live');
  await page.getByRole('button', { name: 'Account and appearance' }).click();
  await page.getByRole('menuitemradio', { name: 'Dark' }).click();
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.reload();
  await expect(page.getByRole('heading', { name: 'Streams' })).toBeVisible();
  expect(await ground()).toBe(dark);
  expect(dark).not.toBe('rgb(245, 246, 248)');
});
