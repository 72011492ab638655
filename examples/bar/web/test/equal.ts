// What a screen shows, read off its DOM, and what it should show, computed from what the hub tells that role. The second knows
// nothing of the app's code.
import type { Page } from "playwright-core";
import type { Access } from "../src/backend.ts";
import type { Line } from "../src/roxy.gen.ts";
import type { Bar, Told } from "./bar.ts";
import { goTo } from "./screens.ts";

const euros = (cents: number): string => `€${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;
const sum = (lines: readonly Told<Line>[]): number =>
  lines.filter(({ data }) => data.status !== "cancelled").reduce((all, { data }) => all + data.quantity * data.price, 0);
const billed = (lines: readonly Told<Line>[]): readonly Told<Line>[] => lines.filter(({ data }) => data.status !== "draft");
const WORDS: Readonly<Record<Line["status"], string>> = { draft: "On the pad", new: "Sent", preparing: "Preparing", ready: "Ready", served: "Served", cancelled: "Cancelled" };

/** Two lists that should be the same. */
export interface Comparison {
  readonly shown: readonly string[];
  readonly told: readonly string[];
}

/** The plan of the tables, and the pad of each table that has an order. */
export async function waiterShows(bar: Bar, access: Access, page: Page, prefix = ""): Promise<Comparison> {
  const [tables, orders, lines, calls, products] = await Promise.all([
    bar.entities(access, "tables/*"),
    bar.entities(access, "orders/*"),
    bar.entities(access, "lines/*"),
    bar.entities(access, "calls/*"),
    bar.entities(access, "products/*"),
  ]);
  const told: string[] = [];
  const shown: string[] = [];
  const inOrder = [...tables].sort((a, b) => a.data.number - b.data.number);
  for (const { data } of inOrder) told.push(`table ${data.number} ${data.status} ${data.guests ?? ""}`);
  told.push(`calls ${calls.map(({ data }) => data.table)}`);
  await goTo(page, `${prefix}`);
  shown.push(
    ...(await page.locator(".place").evaluateAll((all) =>
      all.map((one) => {
        const { table, status } = (one as HTMLElement).dataset;
        return `table ${table} ${status} ${/^\d+/.exec(one.querySelector(".place-more")?.textContent ?? "")?.[0] ?? ""}`;
      }),
    )),
  );
  shown.push(`calls ${await page.locator("[data-call]").evaluateAll((all) => all.map((one) => (one as HTMLElement).dataset["call"]))}`);
  for (const { data } of inOrder) {
    const order = orders.find(({ topic }) => topic === data.order);
    if (!order) continue;
    const mine = lines.filter((line) => line.data.order === order.topic);
    for (const line of mine) {
      const name = products.find(({ topic }) => topic === `products/${line.data.product}`)!.data.name;
      const word = line.data.status === "new" && line.data.acceptedBy ? "Confirmed" : WORDS[line.data.status];
      told.push(`${data.number}: ${line.data.quantity} ${name} ${euros(line.data.quantity * line.data.price)} ${word} ${line.data.note ?? ""}`.trim());
    }
    told.push(`${data.number}: ${euros(sum(mine))}`);
    await goTo(page, `${prefix}${data.number}`);
    await page.locator(".pane-order h1", { hasText: new RegExp(`^Table ${data.number}$`) }).waitFor();
    const pad = await page.locator(".pane-order").evaluate((pane) => ({
      lines: [...pane.querySelectorAll(".line")].map((line) => {
        const text = (selector: string): string => line.querySelector(selector)?.textContent?.trim() ?? "";
        const quantity = text(".line-count").replace(" ×", "") || text(".stepper output");
        return `${quantity} ${text(".line-name")} ${text(".line-price")} ${text(".status")} ${text(".line-note")}`.trim();
      }),
      total: pane.querySelector(".pad-total output")?.textContent ?? "",
    }));
    shown.push(...[...pad.lines, pad.total].map((line) => `${data.number}: ${line}`));
  }
  return { shown, told };
}

/** The tickets of a station by column, and what it has run out of. */
export async function stationShows(bar: Bar, access: Access, page: Page, station: "kitchen" | "counter"): Promise<Comparison> {
  const [lines, products] = await Promise.all([bar.entities(access, "lines/*"), bar.entities(access, "products/*")]);
  const rounds = new Map<string, Told<Line>[]>();
  for (const line of lines) {
    if (line.data.station !== station || line.data.status === "draft") continue;
    const id = `${line.data.firedAt} ${line.data.order}`;
    rounds.set(id, [...(rounds.get(id) ?? []), line]);
  }
  const told: string[] = [];
  for (const status of ["new", "preparing", "ready"] as const) {
    for (const [, round] of [...rounds].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const active = round.filter(({ data }) => data.status !== "cancelled");
      const first = (["new", "preparing", "ready", "served"] as const).find((step) => active.some(({ data }) => data.status === step));
      if (first !== status) continue;
      told.push(`${status} table ${round[0]!.data.table}: ${round.map(({ data }) => `${data.quantity} ${products.find(({ topic }) => topic === `products/${data.product}`)!.data.name} ${data.note ?? ""}`.trim())}`);
    }
  }
  told.push(`out: ${products.filter(({ data }) => data.station === station && !data.available).map(({ data }) => data.name)}`);
  const shown = await page.locator(".ticket").evaluateAll((all) =>
    all.map((one) => {
      const { status, table } = (one as HTMLElement).dataset;
      const rows = [...one.querySelectorAll(".ticket-lines > li")].map((row) => {
        const text = (selector: string): string => row.querySelector(selector)?.textContent?.trim() ?? "";
        const name = row.querySelector(".ticket-name")?.firstChild?.textContent ?? "";
        return `${text(".ticket-count")} ${name} ${text(".ticket-note")}`.trim();
      });
      return `${status} table ${table}: ${rows}`;
    }),
  );
  await page.getByRole("button", { name: /^Sold out/ }).click();
  shown.push(`out: ${await page.locator(".switch[aria-checked=false] .switch-name").allTextContents()}`);
  await page.getByRole("button", { name: /^Tickets/ }).click();
  return { shown, told };
}

/** Bills to take and open ones with their sums, and the receipts. */
export async function tillShows(bar: Bar, access: Access, page: Page, prefix = ""): Promise<Comparison> {
  const [orders, lines, receipts] = await Promise.all([bar.entities(access, "orders/*"), bar.entities(access, "lines/*"), bar.entities(access, "receipts/*")]);
  const told = orders
    .filter(({ topic, data }) => data.status === "open" || data.status === "bill" || (data.status === "paid" && !receipts.some((receipt) => receipt.data.order === topic)))
    .map(({ topic, data }) => `${topic} ${data.status} ${euros(sum(billed(lines.filter((line) => line.data.order === topic))))}`)
    .sort();
  told.push(...receipts.map(({ topic, data }) => `${topic} ${euros(data.total)}`));
  await goTo(page, prefix);
  const shown = await page.locator(".bill-row[data-order]").evaluateAll((all) =>
    all
      .map((one) => {
        const { order, status } = (one as HTMLElement).dataset;
        return `${order} ${status} ${one.querySelector(".bill-amount")?.textContent}`;
      })
      .sort(),
  );
  await page.getByRole("button", { name: /^Receipts/ }).click();
  shown.push(
    ...(await page.locator(".bill-row[data-receipt]").evaluateAll((all) => all.map((one) => `${(one as HTMLElement).dataset["receipt"]} ${one.querySelector(".bill-amount")?.textContent}`))),
  );
  await page.getByRole("button", { name: /^Bills/ }).click();
  return { shown, told };
}

/** The house's figures. */
export async function managerShows(bar: Bar, access: Access, page: Page): Promise<Comparison> {
  const [tables, orders, lines, payments, products] = await Promise.all([
    bar.entities(access, "tables/*"),
    bar.entities(access, "orders/*"),
    bar.entities(access, "lines/*"),
    bar.entities(access, "payments/*"),
    bar.entities(access, "products/*"),
  ]);
  const open = orders.filter(({ data }) => data.status === "open" || data.status === "bill").map(({ topic }) => topic);
  const count = (...statuses: readonly Line["status"][]): number => lines.filter(({ data }) => statuses.includes(data.status)).length;
  const told = [
    `taken ${euros(payments.reduce((all, { data }) => all + data.amount, 0))}`,
    `open ${euros(sum(billed(lines.filter(({ data }) => open.includes(data.order as `orders/${string}`)))))}`,
    `tables ${tables.filter(({ data }) => data.status !== "free").length} of ${tables.length}`,
    `waiting ${count("new", "preparing")}`,
    `ready ${count("ready")}`,
    `out ${products.filter(({ data }) => !data.available).length}`,
  ];
  await goTo(page, "manager");
  const shown = await page.locator(".tile").evaluateAll((all) => all.map((one) => `${(one as HTMLElement).dataset["figure"]} ${one.querySelector("dd")?.textContent}`));
  return { shown, told };
}
