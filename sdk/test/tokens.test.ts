import { expect, test } from "vitest";
import { ALL, clientOf, live, until } from "./client.ts";
import { startHub } from "./hub.ts";

test("a refusal of a publish says which and why, and is not tried again", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { token: hub.token({ sub: "ann", roles: ["kitchen"] }) });
  await expect(client.publish({ topic: "menu/1", data: 1 })).rejects.toMatchObject({ name: "RoxyProblem", code: "forbidden", status: 403 });
  expect(client.state.get()).toBe("idle"); // to publish opens no stream
});

test("a stream that may not be read fails and says what", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { token: hub.token({ sub: "ann", roles: ["kitchen"] }), topics: ["menu/*"] });
  client.connect();
  await until(() => client.state.get() === "failed");
  expect(client.problem()).toMatchObject({ code: "forbidden" });
});

test("a token that is refused is asked for anew, and a second refusal waits for another one", async () => {
  const hub = await startHub();
  const good = hub.token({ sub: "ann", roles: ["everything"] });
  const asked: boolean[] = [];
  let next = [hub.token({ sub: "ann", roles: ["everything"], expires: -60 }), good];
  const client = clientOf(hub, {
    token: ({ fresh }) => {
      asked.push(fresh);
      return next[Math.min(asked.length, next.length) - 1]!;
    },
  });
  client.connect();
  await live(client);
  expect(asked).toEqual([false, true]);
  client.close();

  next = ["bad"];
  client.connect();
  await until(() => client.state.get() === "needs-auth");
  expect(client.quality.get()).toMatchObject({ quality: "poor", reasons: ["disconnected"] });
  next = [good];
  client.connect();
  await live(client);
});

test("a stream outlives its token, which is renewed before it expires, over every transport", async () => {
  const hub = await startHub();
  const play = async (over: (typeof ALL)[number]): Promise<void> => {
    let tokens = 0;
    const client = clientOf(hub, {
      over,
      token: ({ fresh }) => {
        if (fresh) tokens++;
        return hub.token({ sub: "ann", roles: ["everything"], expires: fresh ? 3600 : 6 });
      },
    });
    client.connect();
    await live(client);
    const { connection } = client.inspect();
    await until(() => tokens === 1);
    await new Promise((expired) => setTimeout(expired, 3_000)); // the first token has run out by the hub's clock
    expect(client.inspect()).toMatchObject({ state: "live", connection, transport: over });
  };
  await Promise.all(ALL.map(play));
});
