// Every page at both widths in both themes: no page scrolls sideways, axe finds nothing
// serious, and a picture of each goes to `shots/`, to be looked at.
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { accessible, expect, isLive, logIn, SHOTS, STREAM, test } from './fixtures.ts';

const REST = `/live/rest/v2/broadcasts/${STREAM}/subscribers`;
const list = `/#/streams/live/${STREAM}/subscribers`;
const press = (name: string | RegExp) => async (page: Page) => page.getByRole('button', { name }).first().click();

const PAGES: [name: string, path: string, act?: (page: Page) => Promise<void>][] = [
  ['overview', '/#/streams/live'],
  ['register', '/#/streams/live', press('Register a stream')],
  ['stream', `/#/streams/live/${STREAM}`],
  ['sessions', `/#/streams/live/${STREAM}/sessions`],
  ['subscribers', list],
  ['subscriber-add', list, press('Add a subscriber')],
  ['subscriber-code', list, press('Code of viewer-01')],
  ['subscriber-block', list, press('Block viewer-01')],
  ['subscriber-menu', list, press('More about viewer-01')],
  ['import', list, press('Import')],
  ['events', `/#/streams/live/${STREAM}/events`],
  ['settings', '/#/settings/live'],
  ['users', '/#/users'],
  ['user-add', '/#/users', press('Add a user')],
  ['audit', '/#/audit'],
  ['account', '/#/streams/live', press('Account and appearance')],
  ['play-ask', '/live/play.html'],
  ['play', `/live/play.html?id=${STREAM}`],
  ['play-waiting', '/live/play.html?id=nothing-there'],
  ['publish', '/live/publish.html?id=browser-1'],
];

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

for (const [size, viewport] of [['desk', { width: 1280, height: 860 }], ['phone', { width: 390, height: 844 }], ['narrow', { width: 360, height: 640 }]] as const) {
  // At the narrowest only the width is in question.
  for (const scheme of size === 'narrow' ? (['light'] as const) : (['light', 'dark'] as const)) {
    test(`every page at ${viewport.width} px, ${scheme}`, async ({ page, publisher: _ }) => {
      test.setTimeout(300_000);
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await logIn(page.request);
      await isLive(page.request);
      for (let n = 0; n < 30; n += 1) {
        await page.request.post(REST, { data: { subscriberId: `viewer-${String(n).padStart(2, '0')}`, subscriberName: n % 3 ? '' : 'Somebody', b32Secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP', type: n % 4 ? 'play' : 'publish' } });
      }
      await page.request.put(`${REST}/viewer-02/block/3600/publish_play`);
      for (const [name, path, act] of PAGES) {
        await page.goto('about:blank');
        await page.goto(path);
        await page.locator('main h1').first().waitFor({ state: 'attached' });
        if (act) await act(page);
        // What a page asks for has come when nothing is being loaded; streams of events stay.
        if (path === list || path.startsWith('/#/settings')) await expect(page.getByText(/viewer-01|Save/).first()).toBeVisible();
        if (name === 'overview') await expect(page.getByTestId('rate').first()).toContainText('bit/s');
        if (name === 'stream' || name === 'play') await expect(page.locator('[data-state=playing]')).toBeVisible();
        expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${name} scrolls sideways`).toBeLessThanOrEqual(0);
        await page.screenshot({ path: join(SHOTS, `${name}-${size}-${scheme}.png`) });
        if ((size === 'desk' && scheme === 'dark') || (size === 'phone' && scheme === 'light')) await accessible(page);
      }
    });
  }
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
