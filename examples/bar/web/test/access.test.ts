// Whether the screens can be used by who does not see them well, or presses no glass: names, targets, order, contrast, motion.
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { openBar } from "./bar.ts";
import { fill } from "./busy.ts";
import { goTo, openScreen, PHONE, signedIn, TABLET } from "./screens.ts";

const ROLES = new Set(["button", "switch", "textbox", "link", "checkbox", "combobox", "tab", "dialog", "region", "navigation"]);

/** What can be pressed, filled in or gone to, and has no name. */
async function nameless(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  await session.detach();
  return nodes
    .filter(({ ignored, role, name }) => !ignored && ROLES.has(String(role?.value)) && !String(name?.value ?? "").trim())
    .map(({ role, properties }) => `${role?.value} ${JSON.stringify(properties)}`);
}

/** Texts whose contrast to what lies behind them is below 4.5, and buttons that a thumb would miss. */
async function unreadable(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    type Colour = readonly [number, number, number, number];
    const parse = (text: string): Colour => {
      const numbers = (/\(([^)]+)\)/.exec(text)?.[1] ?? "").split(/[ ,/]+/).map(Number);
      return [numbers[0] ?? 0, numbers[1] ?? 0, numbers[2] ?? 0, numbers[3] ?? 1];
    };
    const over = ([r, g, b, a]: Colour, [br, bg, bb]: Colour): Colour => [r * a + br * (1 - a), g * a + bg * (1 - a), b * a + bb * (1 - a), 1];
    const behind = (element: Element | null): Colour => {
      if (!element) return [0, 0, 0, 1];
      const own = parse(getComputedStyle(element).backgroundColor);
      return own[3] === 1 ? own : over(own, behind(element.parentElement));
    };
    const light = ([r, g, b]: Colour): number => {
      const [x, y, z] = [r, g, b].map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x! + 0.7152 * y! + 0.0722 * z!;
    };
    const found: string[] = [];
    const seen = (element: Element): boolean => {
      const { width, height } = element.getBoundingClientRect();
      return width > 1 && height > 1 && element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
    };
    const modal = document.querySelector("dialog[open]") ?? document.body;
    const texts = document.createTreeWalker(modal, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { parentElement, textContent } = texts.currentNode;
      if (!parentElement || !textContent?.trim() || !seen(parentElement)) continue;
      const ground = behind(parentElement);
      const [a, b] = [light(over(parse(getComputedStyle(parentElement).color), ground)), light(ground)].sort((x, y) => y - x) as [number, number];
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${textContent.trim()} (${parentElement.className})`);
    }
    for (const target of modal.querySelectorAll("button, input")) {
      const { width, height } = target.getBoundingClientRect();
      if (seen(target) && (width < 48 || height < 48)) found.push(`target ${Math.round(width)}×${Math.round(height)}: ${target.textContent || target.className}`);
    }
    if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} wide on a screen of ${innerWidth}`);
    return found;
  });
}

/** What cannot be reached by the Tab key, is reached out of order, or does not show that it is reached. */
async function unreachable(page: Page): Promise<string[]> {
  const wanted = await page.evaluate(() => {
    (document.activeElement as HTMLElement | null)?.blur();
    const modal = document.querySelector("dialog[open]") ?? document.body;
    const all = [...modal.querySelectorAll<HTMLElement>("button, input, [tabindex='0']")].filter((one) => one.checkVisibility() && !(one as HTMLButtonElement).disabled);
    const reached: { at: number; shows: boolean; name: string }[] = [];
    const heard = ({ target }: FocusEvent): void => {
      const at = all.indexOf(target as HTMLElement);
      if (at < 0 || reached.some((one) => one.at === at)) return;
      reached.push({ at, shows: getComputedStyle(target as HTMLElement).outlineStyle !== "none", name: (target as HTMLElement).textContent ?? "" });
    };
    document.addEventListener("focusin", heard);
    Object.assign(window, { told: () => (document.removeEventListener("focusin", heard), reached) });
    return all.length;
  });
  for (let presses = 0; presses < wanted + 2; presses++) await page.keyboard.press("Tab");
  const reached = await page.evaluate(() => (window as unknown as { told(): { at: number; shows: boolean; name: string }[] }).told());
  const found = reached.filter(({ shows }) => !shows).map(({ name }) => `focus does not show: ${name}`);
  const places = reached.map(({ at }) => at);
  const order = [...places].sort((x, y) => x - y);
  // A dialog begins with what it focuses, and goes round.
  const from = order.indexOf(places[0] ?? 0);
  if (String([...order.slice(from), ...order.slice(0, from)]) !== String(places)) found.push(`out of order: ${places}`);
  if (reached.length < wanted) found.push(`${reached.length} of ${wanted} were reached`);
  return found;
}

async function faults(page: Page): Promise<string[]> {
  const frame = await page.evaluate(() => [
    ...(document.documentElement.lang ? [] : ["no language"]),
    ...(document.title ? [] : ["no title"]),
    ...(document.querySelectorAll("main").length === 1 ? [] : ["not one main"]),
    ...(document.getAnimations().some(({ playState }) => playState === "running") ? ["something moves although less motion is asked for"] : []),
  ]);
  return [...frame, ...(await nameless(page)), ...(await unreadable(page)), ...(await unreachable(page))];
}

for (const [layout, size] of [["phone", PHONE], ["tablet", TABLET]] as const) {
  test(`on a ${layout} everything has a name, is in reach of thumb and Tab key, and can be read`, async () => {
    const bar = await openBar();
    const manager = await fill(bar);
    await bar.call(manager, "POST", "/v1/events", { topic: "orders/1", type: "order:cancelled", data: { note: "wrong table" }, to: { users: ["nobody"] }, ack: { by: "any" } });
    const found: Record<string, string[]> = {};
    const look = async (screen: string, page: Page): Promise<void> => {
      const all = await faults(page);
      if (all.length > 0) found[screen] = all;
    };

    const login = await openScreen(bar, size);
    await login.locator(".person").first().waitFor();
    await look("login", login);

    const waiter = await signedIn(bar, "Mia", "Waiter", size);
    for (const [route, sign] of [["", "[data-table='1']"], ["1", ".line"], ["1/menu", ".dish"], ["4", ".pane-order .notice"], ["5", ".pane-order .notice"], ["6", ".pane-order .empty"], ["7", ".number"]] as const) {
      await goTo(waiter, route);
      await waiter.locator(sign).first().waitFor();
      await look(`waiter ${route}`, waiter);
    }
    await goTo(waiter, "1");
    await waiter.getByRole("button", { name: "Burger & fries: note" }).click();
    await look("waiter, note", waiter);
    await waiter.keyboard.press("Escape");
    await waiter.getByRole("switch", { name: "Offline" }).click();
    await waiter.getByRole("button", { name: "Guests: one more" }).click();
    await waiter.getByText("No connection.").waitFor();
    await look("waiter, offline", waiter);
    await waiter.locator(".chip").click();
    await look("waiter, connection", waiter);

    for (const [name, role] of [["Luca", "Kitchen"], ["Noor", "Counter"]] as const) {
      const station = await signedIn(bar, name, role, size);
      await station.locator(".ticket").first().waitFor();
      await look(role, station);
      await station.getByRole("button", { name: /^Sold out/ }).click();
      await look(`${role}, sold out`, station);
    }

    const till = await signedIn(bar, "Sam", "Till", size);
    await till.locator(".bill-row").first().waitFor();
    await look("till", till);
    await goTo(till, "4");
    await till.getByLabel("Given").waitFor();
    await look("till, bill", till);
    await goTo(till, "");
    await till.getByRole("button", { name: /^Receipts/ }).click();
    await look("till, receipts", till);

    const house = await signedIn(bar, "Ada", "Manager", size);
    await house.locator(".tile").first().waitFor();
    await house.getByRole("button", { name: "Dealt with" }).waitFor();
    for (const part of ["House", "Audit", "People"]) {
      if (size === PHONE) await house.getByRole("group", { name: "Part of the screen" }).getByRole("button", { name: part }).click();
      await look(`manager, ${part}`, house);
    }
    expect(found).toEqual({});
  });
}

test("a screen reader hears of new tickets, and the bell stays until somebody presses", async () => {
  const bar = await openBar();
  const kitchen = await signedIn(bar, "Luca", "Kitchen", TABLET);
  await fill(bar);
  await kitchen.locator("[role=log]").getByText(/New ticket for table \d/).waitFor();
  await kitchen.getByRole("alert").getByText("One new order to confirm").waitFor();
  await kitchen.reload();
  await kitchen.getByRole("alert").getByText("One new order to confirm").waitFor();
  await kitchen.getByRole("button", { name: "Confirm table 1" }).press("Enter");
  await kitchen.locator(".ringing").waitFor({ state: "detached" });
});

test("what nobody confirms alarms the manager, over reloads, until it was dealt with", async () => {
  const bar = await openBar();
  const manager = await signedIn(bar, "Ada", "Manager", PHONE);
  const waiter = await bar.signIn("waiter-1", "waiter");
  const data = { table: 3, station: "kitchen", items: [{ product: "burger", quantity: 1, price: 1290 }] };
  await bar.call(waiter, "POST", "/v1/events", { topic: "orders/3", type: "order:new", data, to: { roles: ["kitchen"] }, ack: { by: "any" } });
  await manager.getByRole("alert").getByText("no screen was there to hear it").waitFor();
  await manager.reload();
  await manager.getByRole("button", { name: "Dealt with" }).click();
  await manager.getByRole("alert").waitFor({ state: "detached" });
});
