import { expect, test } from "vitest";
import { openBar } from "./bar.ts";
import { fill } from "./busy.ts";
import { goTo, live, PHONE, settled, signedIn } from "./screens.ts";

test("what was changed without a network is painted, survives a reload, and reaches the hub", async () => {
  const bar = await openBar();
  const manager = await fill(bar);
  const page = await signedIn(bar, "Mia", "Waiter", PHONE);
  await goTo(page, "1");
  const line = page.locator(".line", { hasText: "Burger" });
  await line.waitFor();
  await page.getByRole("switch", { name: "Offline" }).click();
  await page.getByText("No connection.").waitFor();
  await page.getByRole("button", { name: "Burger & fries: note" }).click();
  await page.getByLabel("What does the guest want otherwise?").fill("Extra plate");
  await page.getByRole("button", { name: "Save" }).click();
  await line.getByText("Extra plate").waitFor();
  await line.getByText("Waits for the network").waitFor();
  const told = async (): Promise<string | undefined> => (await bar.entities(manager, "lines/*")).find(({ topic }) => topic === "lines/1-0")?.data.note;
  expect(await told()).toBe("No onions");
  await page.reload();
  await live(page);
  await line.getByText("Extra plate").waitFor();
  await settled(page);
  expect(await told()).toBe("Extra plate");
});

test("two windows of one person are two devices, and neither takes the other's place", async () => {
  const bar = await openBar();
  const first = await signedIn(bar, "Luca", "Kitchen", PHONE);
  const second = await first.context().newPage();
  await second.goto(bar.url);
  await second.getByRole("button", { name: "Luca Kitchen" }).click();
  await live(second);
  await fill(bar);
  for (const page of [first, second]) await page.locator(".ticket").first().waitFor();
  await second.getByRole("button", { name: "Confirm table 1" }).click();
  await first.locator(".ringing").waitFor({ state: "detached" });
});
