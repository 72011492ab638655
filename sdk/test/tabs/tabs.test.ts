import { expect, test } from "vitest";
import { handled, live, ranks, startDesk, until } from "./tabs.ts";

const seven = [1, 2, 3, 4, 5, 6, 7];

test("seven tabs hold one stream and each hears each event once", async () => {
  const desk = await startDesk();
  const tabs = await Promise.all(seven.map(() => desk.open({ name: "ann" })));
  await live(...tabs);
  await until(desk.streams, (streams) => streams.length === 1);
  for (const n of seven) await desk.publish({ data: n });
  for (const tab of tabs) expect(await handled(tab, 7)).toEqual(seven);
  expect(await desk.streams()).toHaveLength(1);
  await ranks(tabs);
});
