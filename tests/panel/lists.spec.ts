// Lists of 10,000, in the panel: a page at a time, found by searching, and worked on.
import { readFile } from 'node:fs/promises';
import type { BrowserContext, Page } from '@playwright/test';
import { expect, logIn, test } from './fixtures.ts';

const MANY = 10_000;
const SIZE = 25;
const digits = (n: number) => String(n).padStart(5, '0');
const pager = (page: Page, what: string) => page.getByRole('navigation', { name: `Pages of ${what}` });
const turn = (page: Page, what: string, to: string) => pager(page, what).getByRole('button', { name: `${to} page` }).click();

/** Registers streams by the API, some at a time; a browser's own requests would take minutes. */
async function register(context: BrowserContext, http: string) {
  const cookie = (await context.cookies(http)).map(({ name, value }) => `${name}=${value}`).join('; ');
  const headers = { cookie, 'content-type': 'application/json' };
  let next = 0;
  const some = async () => {
    while (next < MANY) {
      const n = next++;
      const body = JSON.stringify({ streamId: `camera${digits(n)}`, name: `Gate ${n}` });
      const answer = await fetch(`${http}/live/rest/v2/broadcasts/create`, { method: 'POST', headers, body });
      expect(answer.status, await answer.text()).toBe(200);
    }
  };
  await Promise.all(Array.from({ length: 64 }, some));
}

test('10,000 streams are paged, searched and opened', async ({ page, context, server }) => {
  await logIn(page.request);
  await register(context, server.http);
  await page.goto('/#/streams/live');
  await page.getByLabel('Live only').uncheck();
  const rows = page.locator('li.stream');
  await expect(page.getByText('10,000 streams')).toBeVisible();
  await expect(rows).toHaveCount(SIZE);
  await expect(pager(page, 'streams')).toContainText('1–25 of 10,000');
  const first = await rows.first().getAttribute('data-testid');
  await turn(page, 'streams', 'Next');
  await expect(pager(page, 'streams')).toContainText('26–50 of 10,000');
  await expect(page.getByTestId(first ?? '')).toHaveCount(0);
  await turn(page, 'streams', 'Last');
  await expect(pager(page, 'streams')).toContainText('9,976–10,000 of 10,000');
  await expect(rows).toHaveCount(SIZE);
  await expect(pager(page, 'streams').getByRole('button', { name: 'Next page' })).toHaveAttribute('aria-disabled', 'true');
  await turn(page, 'streams', 'First');
  await expect(pager(page, 'streams')).toContainText('1–25 of 10,000');
  // By what is in an id, by what is in a name, and one alone.
  await page.getByLabel('Search streams').fill('camera098');
  await expect(page.getByText('100 streams', { exact: true })).toBeVisible();
  await page.getByLabel('Search streams').fill('gate 77');
  await expect(page.getByText('111 streams', { exact: true })).toBeVisible();
  await page.getByLabel('Search streams').fill('camera07777');
  await expect(rows).toHaveCount(1);
  await page.getByRole('link', { name: 'Gate 7777', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'Gate 7777' })).toBeVisible();
});

test('10,000 subscribers come in from a file, are paged, searched, blocked and given out again', async ({ page }) => {
  await logIn(page.request);
  const names = 'subscriberId,subscriberName,type,b32Secret,concurrentConnectionsLimit,totpExpiryPeriodSeconds';
  const line = (n: number) => `viewer${digits(n)},Guest ${n},play,JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP,1,60`;
  await page.goto('/#/streams/live/crowded/subscribers');
  await page.getByRole('button', { name: 'Import' }).click();
  // As many as a file may have, and the line that names the columns.
  const lines = Array.from({ length: MANY }, (_, n) => line(n));
  const file = { name: 'guests.csv', mimeType: 'text/csv', buffer: Buffer.from([names, ...lines].join('\n')) };
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('File').setInputFiles(file);
  await dialog.getByRole('button', { name: 'Import' }).click();
  await expect(dialog.getByRole('status')).toHaveText('10,000 added.');
  await dialog.getByRole('button', { name: 'Done' }).click();
  const rows = page.getByTestId(/^subscriber-viewer/);
  await expect(page.getByTestId('subscribers-count')).toHaveText('10,000 subscribers');
  await expect(rows).toHaveCount(SIZE);
  await turn(page, 'subscribers', 'Last');
  await expect(pager(page, 'subscribers')).toContainText('9,976–10,000 of 10,000');
  const last = page.getByTestId('subscriber-viewer09999');
  await page.getByRole('button', { name: 'Block viewer09999' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Block', exact: true }).click();
  await expect(last).toContainText('blocked');
  await expect(pager(page, 'subscribers'), 'it is still the last page').toContainText('9,976–10,000');
  await page.getByLabel('Search subscribers').fill('viewer099');
  await expect(page.getByTestId('subscribers-count')).toHaveText('100 subscribers');
  await expect(pager(page, 'subscribers')).toContainText('1–25 of 100');
  await page.getByLabel('Search subscribers').fill('Guest 9999');
  await expect(rows).toHaveCount(1);
  await expect(last).toContainText('blocked');
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Export' }).click();
  const text = await readFile(await (await download).path(), 'utf8');
  expect(text.trim().split('\n')).toHaveLength(MANY + 1);
  expect(text).toContain('viewer09999');
});
