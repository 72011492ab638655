import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { openBar } from "./bar.ts";
import { managerShows, stationShows, tillShows, waiterShows } from "./equal.ts";
import { goTo, live, PHONE, settled, signedIn, TABLET } from "./screens.ts";

/** Leads a waiter to a table and seats a party there. */
async function seat(page: Page, table: number, guests: number): Promise<void> {
  await goTo(page, String(table));
  await page.getByRole("button", { name: `${guests} guests`, exact: true }).click();
  await page.locator(".pad-guests").waitFor();
}

/** Takes products onto the pad of the table that is open; on a phone the menu is a screen of its own. */
async function take(page: Page, part: "Food" | "Drinks", ...names: readonly string[]): Promise<void> {
  const phone = page.viewportSize()!.width < 900;
  if (phone) await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("button", { name: part, exact: true }).click();
  for (const name of names) await page.locator(".dish", { hasText: name }).click();
  if (phone) await page.getByRole("button", { name: "Done" }).click();
}

const line = (page: Page, name: string) => page.locator(".line", { hasText: name });
const send = (page: Page) => page.getByRole("button", { name: /^Send \d/ }).click();
const ticket = (page: Page, table: number) => page.locator(`.ticket[data-table="${table}"]`);

async function note(page: Page, name: string, text: string): Promise<void> {
  await page.getByRole("button", { name: `${name}: note` }).click();
  await page.getByLabel("What does the guest want otherwise?").fill(text);
  await page.getByRole("button", { name: "Save" }).click();
}

test("after a busy half hour every screen shows what the hub holds", async () => {
  const bar = await openBar();
  const [mia, jonas, kitchen, counter, till, manager] = await Promise.all([
    signedIn(bar, "Mia", "Waiter", TABLET),
    signedIn(bar, "Jonas", "Waiter", PHONE),
    signedIn(bar, "Luca", "Kitchen", TABLET),
    signedIn(bar, "Noor", "Counter", PHONE),
    signedIn(bar, "Sam", "Till", TABLET),
    signedIn(bar, "Ada", "Manager", TABLET),
  ]);
  const screens = [mia, jonas, kitchen, counter, till, manager];

  // An order for both stations: it rings at both, and is marked as confirmed on the pad once somebody has pressed.
  await seat(mia, 4, 4);
  await take(mia, "Food", "Margherita", "Margherita", "Burger");
  await take(mia, "Drinks", "Negroni");
  await note(mia, "Burger & fries", "Well done");
  await send(mia);
  await kitchen.getByRole("alert").getByText("One new order to confirm").waitFor();
  await counter.getByRole("alert").getByText("One new order to confirm").waitFor();
  await kitchen.getByRole("button", { name: "Confirm table 4" }).click();
  await counter.getByRole("button", { name: "Confirm table 4" }).click();
  await line(mia, "Burger").getByText("Confirmed").waitFor();
  await kitchen.locator(".ringing").waitFor({ state: "detached" });

  // A call is answered, and what ran out is grey on the menus.
  await manager.getByRole("button", { name: "Call", exact: true }).click();
  await mia.getByRole("button", { name: "Answer table 7" }).click();
  await kitchen.getByRole("button", { name: /^Sold out/ }).click();
  await kitchen.getByRole("switch", { name: /Olives/ }).click();
  await kitchen.getByRole("button", { name: /^Tickets/ }).click();
  await mia.getByRole("button", { name: "Food", exact: true }).click();
  await mia.locator(".dish[aria-disabled=true]", { hasText: "Olives" }).waitFor();

  // Two waiters on one order. One walks into the cellar with it, and the hub dies meanwhile.
  await goTo(mia, "4");
  await take(mia, "Drinks", "Spritz", "Spritz");
  await goTo(jonas, "4");
  await line(jonas, "Spritz").waitFor();
  await line(jonas, "Spritz").locator(".mark").waitFor({ state: "detached" });
  await jonas.getByRole("switch", { name: "Offline" }).click();
  await jonas.getByRole("button", { name: "Spritz: quantity: one more" }).click();
  await take(jonas, "Drinks", "Lemonade");
  await line(jonas, "Lemonade").getByText("Waits for the network").waitFor();
  await mia.getByRole("button", { name: "Spritz: quantity: one less" }).click();
  await note(mia, "Spritz", "No ice");
  await take(mia, "Food", "Bruschetta");
  await settled(mia);
  await bar.kill();
  await take(mia, "Food", "Tiramis"); // nobody hears it yet
  await seat(jonas, 9, 2);
  await take(jonas, "Food", "Diavola");
  await send(jonas);
  await seat(jonas, 12, 3); // a table that somebody else will have opened
  await bar.start();
  await live(mia);
  await settled(mia);
  await seat(mia, 12, 5);
  await settled(mia);

  // Back in the light: what clashes is asked, what was too late is told, all else arrives by itself.
  await jonas.getByRole("switch", { name: "Go online" }).click();
  await jonas.getByRole("button", { name: "Decide" }).click();
  const versus = jonas.getByRole("dialog");
  expect(await versus.locator("tbody tr").allTextContents()).toEqual(["Quantity31"]);
  await versus.getByRole("button", { name: "Keep mine" }).click();
  const late = jonas.locator(".trouble", { hasText: "Open the table" });
  await late.getByText("Somebody else was faster.").waitFor();
  while ((await late.count()) > 0) await late.getByRole("button", { name: "Dismiss" }).first().click();
  await settled(jonas);
  await ticket(kitchen, 9).getByRole("button", { name: "Confirm table 9" }).click();

  // What is on the pads is sent, made, served, billed and paid.
  await goTo(mia, "4");
  await line(mia, "Spritz").getByRole("group", { name: "Spritz: quantity" }).getByText("3").waitFor();
  await send(mia);
  await ticket(kitchen, 4).getByRole("button", { name: "Start table 4" }).click();
  await kitchen.getByRole("button", { name: "Ready table 4" }).click();
  await kitchen.getByRole("button", { name: "Confirm table 4" }).click();
  await ticket(counter, 4).getByRole("button", { name: "Start table 4" }).click();
  await counter.getByRole("button", { name: "Confirm table 4" }).click();
  await kitchen.getByRole("button", { name: "Start table 9" }).click();
  await mia.getByRole("button", { name: "Served (2)" }).click();
  await goTo(mia, "12");
  await take(mia, "Drinks", "Espresso");
  await send(mia);
  await counter.getByRole("button", { name: "Confirm table 12" }).click();
  await counter.getByRole("button", { name: "Start table 12" }).click();
  await counter.getByRole("button", { name: "Ready table 12" }).click();
  await mia.getByRole("button", { name: "Served (1)" }).click();
  await mia.getByRole("button", { name: "Bill", exact: true }).click();
  await mia.getByRole("button", { name: "Cash" }).click();
  await till.locator(".bill-row", { hasText: "Table 12" }).click();
  await till.getByRole("button", { name: "10 %" }).click();
  await till.getByRole("button", { name: "Take €2.75" }).click();
  await till.getByRole("button", { name: "Issue the receipt" }).click();
  await till.getByText("Receipt issued").waitFor();
  await mia.getByRole("button", { name: "Free the table" }).click();

  await Promise.all(screens.map(settled));
  await manager.locator('[data-figure="taken"] dd', { hasText: "€2.50" }).waitFor();
  const [asMia, asJonas, asKitchen, asCounter, asTill, asManager] = await Promise.all([
    bar.signIn("waiter-1", "waiter"),
    bar.signIn("waiter-2", "waiter"),
    bar.signIn("kitchen", "kitchen"),
    bar.signIn("counter", "counter"),
    bar.signIn("till", "till"),
    bar.signIn("manager", "manager"),
  ]);
  const comparisons = {
    mia: await waiterShows(bar, asMia, mia),
    jonas: await waiterShows(bar, asJonas, jonas),
    kitchen: await stationShows(bar, asKitchen, kitchen, "kitchen"),
    counter: await stationShows(bar, asCounter, counter, "counter"),
    till: await tillShows(bar, asTill, till),
    manager: await managerShows(bar, asManager, manager),
    "manager at the till": await (goTo(manager, "till"), tillShows(bar, asManager, manager, "till/")),
    "manager at the tables": await waiterShows(bar, asManager, manager, "waiter/"),
  };
  for (const [screen, { shown, told }] of Object.entries(comparisons)) {
    expect(told.length, `${screen} compares something`).toBeGreaterThan(1);
    expect(shown, screen).toEqual(told);
  }
});
