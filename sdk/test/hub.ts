import { spawn, type ChildProcess } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject, onTestFinished } from "vitest";

/** Who a token is for. `expires` is in seconds from now; an hour when left out. */
export interface Claims {
  readonly sub: string;
  readonly roles: readonly string[];
  readonly expires?: number;
  /** Further claims, such as the tenant. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A running hub: the real program over a folder of its own. */
export interface Hub {
  readonly url: string;
  /** Of its admin listener. */
  readonly admin: string;
  token(claims: Claims): string;
  /** Ends it as a power cut does. */
  kill(): Promise<void>;
  /** Asks it to end. */
  stop(): Promise<void>;
  /** Starts it again over what it left. */
  start(): Promise<void>;
  log(): string;
}

const ROLES = `
    everything: { read: ["**"], publish: ["**"], write: ["**"], admin: true }
    waiter:     { read: ["orders/**", "tables/**"], publish: ["orders/*", "tables/*"] }
    kitchen:    { read: ["orders/**"], publish: ["orders/*"] }`;

/** Starts a hub that lives until the test ends. yaml is put behind the common configuration. */
export async function startHub(yaml = ""): Promise<Hub> {
  const hub = await launchHub(yaml);
  onTestFinished(hub.remove);
  return hub;
}

/** Starts a hub that lives until it is removed, for several tests. */
export async function launchHub(yaml = ""): Promise<Hub & { remove(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "roxy-sdk-hub-"));
  const secret = randomBytes(40).toString("hex");
  const [listen, admin] = [await freeAddress(), await freeAddress()];
  writeFileSync(join(folder, "secret"), secret);
  writeFileSync(
    join(folder, "roxy.yaml"),
    `listen: ${listen}
admin: { listen: "${admin}" }
data: data
auth: { keys: [{ alg: HS256, secretFile: secret }] }
policy:
  roles:${ROLES}
${yaml}`,
  );
  let program: ChildProcess | undefined;
  let log = "";

  const start = async (): Promise<void> => {
    const started = spawn(inject("roxy"), ["serve", "--config", join(folder, "roxy.yaml")], { env: { ...process.env, ROXY_TOKEN: "" } });
    program = started;
    started.stdout.on("data", (text) => (log += text));
    started.stderr.on("data", (text) => (log += text));
    for (;;) {
      if (started.exitCode !== null) throw new Error(`the hub ended before it was ready:\n${log}`);
      const ready = await fetch(`http://${admin}/readyz`).catch(() => undefined);
      if (ready?.ok) return;
      await new Promise((soon) => setTimeout(soon, 10));
    }
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = program;
    program = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const gone = new Promise((resolve) => ending.once("exit", resolve));
    ending.kill(signal);
    await gone;
  };
  const remove = async (): Promise<void> => {
    await end("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  await start().catch(async (error: unknown) => {
    await remove();
    throw error;
  });

  return {
    url: `http://${listen}`,
    admin: `http://${admin}`,
    token({ sub, roles, expires = 3600, more }) {
      const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
      const now = Math.floor(Date.now() / 1000);
      const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ ...more, sub, roles, iat: now, exp: now + expires, jti: randomBytes(8).toString("hex") })}`;
      return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
    },
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    start,
    remove,
    log: () => log,
  };
}

/** Returns a loopback address where nothing listens now. */
export async function freeAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return `127.0.0.1:${port}`;
}
