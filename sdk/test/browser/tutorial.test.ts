import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Page } from "playwright-core";
import { expect, inject, onTestFinished, test } from "vitest";
import { freeAddress } from "../hub.ts";
import { openPage } from "./chromium.ts";

const tutorial = readFileSync(join(import.meta.dirname, "../../../docs/guide/tutorial.md"), "utf8");

/** Returns what the tutorial says to paste: its commands by their first words, and the files that it has people save. */
function pasted(addresses: Readonly<Record<string, string>>): { command(begins: string): string; files: Record<string, string> } {
  let text = tutorial;
  for (const [written, free] of Object.entries(addresses)) text = text.replaceAll(written, free);
  const commands = [...text.matchAll(/^ {4}(.+)$/gm)].map(([, line]) => line!);
  const files = [...text.matchAll(/`([\w.]+)`[^`]*\n\n```\w+\n([^]*?)```/g)].map(([, name, content]) => [name!, content!]);
  return {
    files: Object.fromEntries(files) as Record<string, string>,
    command: (begins) => commands.find((line) => line.startsWith(begins)) ?? expect.fail(`the tutorial has no command ${begins}`),
  };
}

/** Runs a command of the tutorial in folder until it ends, or the test does. */
function run(command: string, folder: string): ChildProcess {
  const env = { ...process.env, PATH: `${dirname(inject("roxy"))}:${process.env["PATH"]}`, ROXY_TOKEN: "" };
  const started = spawn("bash", ["-c", command], { cwd: folder, env, detached: true, stdio: "ignore" });
  onTestFinished(() => {
    if (started.exitCode === null && started.signalCode === null) process.kill(-started.pid!, "SIGKILL");
  });
  return started;
}

const ended = (program: ChildProcess): Promise<unknown> => new Promise((resolve) => program.once("exit", resolve));

async function answers(url: string): Promise<void> {
  while (!(await fetch(url).catch(() => undefined))?.ok) await new Promise((soon) => setTimeout(soon, 20));
}

test("the tutorial, followed to the letter, ends with two browsers that agree", { timeout: 90_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "roxy-tutorial-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [hub, admin, web] = [await freeAddress(), await freeAddress(), await freeAddress()];
  const port = web.split(":")[1]!;
  const { command, files } = pasted({ "127.0.0.1:8080": hub, "127.0.0.1:3000": web, "-p 3000": `-p ${port}` });
  expect(Object.keys(files)).toEqual(["index.html", "app.js"]);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);

  const serve = `${command("roxy serve")} --listen ${hub} --admin-listen ${admin}`; // the tutorial has the usual ones
  let program = run(serve, folder);
  await answers(`http://${admin}/readyz`);
  for (const once of ["echo", "curl"]) await ended(run(command(once), folder));
  run(command("npx"), folder);
  await answers(`http://${web}/`);

  const page = (who: string): Promise<Page> => openPage(`http://${web}/?me=${who}`);
  const [ana, ben] = [await page("ana"), await page("ben")];
  const order = async (dish: string): Promise<void> => {
    await ana.getByPlaceholder("What would they like?").fill(dish);
    await ana.getByRole("button", { name: "Order" }).click();
  };
  const line = (on: Page, text: string) => on.locator("li", { hasText: text });
  await ana.getByText("ana: live").waitFor();
  await ben.getByText("ben: live").waitFor();

  await order("Soup");
  await line(ben, "Soup: new, ordered by ana").getByRole("button", { name: "Ready" }).click();
  await line(ana, "Soup: ready, ordered by ana").waitFor();

  const gone = ended(program);
  process.kill(-program.pid!, "SIGKILL");
  await gone;
  await ana.getByText("ana: recovering").waitFor();
  await order("Cake");
  await line(ana, "Cake").and(ana.locator(".pending")).waitFor();
  await ana.reload();
  await line(ana, "Cake").and(ana.locator(".pending")).waitFor();
  program = run(serve, folder);
  await line(ana, "Cake").and(ana.locator(":not(.pending)")).waitFor();
  await line(ben, "Cake: new, ordered by ana").waitFor();
  expect(await line(ben, "Cake").count()).toBe(1);
  for (const browser of [ana, ben]) expect(await browser.locator("li").count()).toBe(2);
});
