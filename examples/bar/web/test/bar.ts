// A bar of a test's own: the hub as run.sh starts it, and the app's server.
import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { inject, onTestFinished } from "vitest";
import type { Access, Role } from "../src/backend.ts";
import type { EntityAt, TopicsOf } from "@roxy/sdk/entities";
import type { RoxyEntities } from "../src/roxy.gen.ts";

/** An entity as GET /v1/entities tells it. */
export interface Told<T> {
  readonly topic: string;
  readonly version: number;
  readonly data: T;
}

export interface Bar {
  /** Where the app is. */
  readonly url: string;
  readonly hub: string;
  /** Ends the hub as a power cut does. */
  kill(): Promise<void>;
  /** Starts it again over what it left. */
  start(): Promise<void>;
  /** Ends the app's server and the hub: pages have no network. */
  cut(): Promise<void>;
  /** Has neither of them answer, and refuse nobody: bad Wi-Fi. */
  hang(): void;
  /** Starts both again. */
  mend(): Promise<void>;
  /** Signs in at the app's server, as its pages do. */
  signIn(user: string, role: Role): Promise<Access>;
  /** Calls the hub as that role. */
  call(access: Access, method: "GET" | "POST", path: string, body?: unknown): Promise<unknown>;
  /** What the hub tells that role of all entities of a pattern. */
  entities<Pattern extends TopicsOf<RoxyEntities>>(access: Access, pattern: Pattern): Promise<readonly Told<EntityAt<RoxyEntities, Pattern>>[]>;
}

/** Opens a bar that is closed with the test. lifetime is that of tokens, web the folder of the built app. */
export async function openBar({ lifetime = "5m", web: built = resolve(import.meta.dirname, "../dist") } = {}): Promise<Bar> {
  const folder = mkdtempSync(join(tmpdir(), "roxy-bar-house-"));
  const examples = resolve(import.meta.dirname, "../..");
  cpSync(join(examples, "roxy.yaml"), join(folder, "roxy.yaml"));
  cpSync(join(examples, "schemas"), join(folder, "schemas"), { recursive: true });
  writeFileSync(join(folder, "dev.secret"), randomBytes(32).toString("base64"), { mode: 0o600 });
  const [listen, admin, web] = [await freeAddress(), await freeAddress(), await freeAddress()];
  const url = `http://${web}`;
  let log = "";

  const run = (program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess => {
    const child = spawn(join(inject("bin"), program), args, { cwd: folder, env: { ...process.env, ...env } });
    child.stdout.on("data", (text) => (log += text));
    child.stderr.on("data", (text) => (log += text));
    return child;
  };
  const ready = async (child: ChildProcess, address: string): Promise<void> => {
    for (;;) {
      if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended before it was ready:\n${log}`);
      const answer = await fetch(address).catch(() => undefined);
      if (answer?.ok) return;
      await new Promise((soon) => setTimeout(soon, 10));
    }
  };
  const end = async (child: ChildProcess | undefined): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((ended) => child.once("exit", ended));
    child.kill("SIGKILL");
    await gone;
  };

  let hub: ChildProcess | undefined;
  let app: ChildProcess | undefined;
  onTestFinished(async () => {
    await end(app);
    await end(hub);
    rmSync(folder, { recursive: true, force: true });
  });
  const start = async (): Promise<void> => {
    hub = run("roxy", ["serve", "--config", "roxy.yaml"], { ROXY_LISTEN: listen, ROXY_ADMIN_LISTEN: admin, ROXY_CORS_ORIGINS: url });
    await ready(hub, `http://${admin}/readyz`);
  };
  const flags = { listen: web, hub: `http://${listen}`, admin: `http://${admin}`, secret: "dev.secret", web: built, lifetime };
  const mend = async (): Promise<void> => {
    await start();
    app = run("bar-serve", Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]));
    await ready(app, `${url}/api/staff`);
  };
  await mend();

  const call: Bar["call"] = async (access, method, path, body) => {
    const headers = { Authorization: `Bearer ${access.token}`, ...(body !== undefined && { "Content-Type": "application/json" }) };
    const answer = await fetch(`http://${listen}${path}`, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    if (!answer.ok) throw new Error(`${method} ${path} as ${access.role}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };

  return {
    url,
    call,
    hub: `http://${listen}`,
    kill: () => end(hub),
    start,
    async cut() {
      await end(app);
      await end(hub);
    },
    hang: () => [app, hub].forEach((child) => child?.kill("SIGSTOP")),
    mend,
    async signIn(user, role) {
      const answer = await fetch(`${url}/api/sessions`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user, role }) });
      if (!answer.ok) throw new Error(`sign in as ${user}: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as Access;
    },
    async entities<Pattern extends TopicsOf<RoxyEntities>>(access: Access, pattern: Pattern) {
      const answer = await call(access, "GET", `/v1/entities?limit=1000&match=${encodeURIComponent(pattern)}`);
      return (answer as { entities: Told<EntityAt<RoxyEntities, Pattern>>[] }).entities;
    },
  };
}

/** Returns a loopback address where nothing listens now. */
async function freeAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no address");
  await new Promise((closed) => server.close(closed));
  return `127.0.0.1:${address.port}`;
}
