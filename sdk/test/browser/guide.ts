// Follows a page of docs/guide as a reader does, who saves what it says to save and runs what it says to run.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, inject, onTestFinished } from "vitest";

/** A reader's folder, and what the page has for it. */
export interface Reader {
  /** Writes a file as the page has it, for the how many-th time. */
  save(name: string, time?: number): void;
  /** Runs the page's command that begins so, and more behind it, to its end. */
  run(begins: string, more?: string): Promise<void>;
  /** Begins the command, and waits until url answers. */
  start(begins: string, url: string, more?: string): Promise<Running>;
}

/** A program of the page's that goes on. */
export interface Running {
  kill(): Promise<void>;
}

/** Opens a page of docs/guide in an empty folder. What it writes of this reader's machine is replaced: addresses and paths. */
export function read(name: string, replaced: Readonly<Record<string, string>>): Reader {
  let text = readFileSync(join(import.meta.dirname, "../../../docs/guide", name), "utf8");
  for (const [written, here] of Object.entries(replaced)) {
    expect(text, name).toContain(written);
    text = text.replaceAll(written, here);
  }
  const commands = [...text.matchAll(/^ {4}(.+)$/gm)].map(([, line]) => line!);
  // The first name in the paragraph before a listing is that of the file.
  const files = [...text.matchAll(/\n\n((?:[^\n]+\n)+)\n```\w+\n([^]*?)```/g)].map(([, paragraph, content]) => ({ file: /`(\w+\.\w+)`/.exec(paragraph!)?.[1], content: content! }));
  const folder = mkdtempSync(join(tmpdir(), "roxy-guide-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));

  const begin = (begins: string, more: string): { program: ChildProcess; command: string; said: () => string } => {
    const command = `${commands.find((line) => line.startsWith(begins)) ?? expect.fail(`${name} has no command ${begins}`)} ${more}`;
    const env = { ...process.env, PATH: `${dirname(inject("roxy"))}:${process.env["PATH"]}`, ROXY_TOKEN: "" };
    const program = spawn("bash", ["-c", command], { cwd: folder, env, detached: true });
    let said = "";
    for (const output of [program.stdout, program.stderr]) output.on("data", (piece) => (said += piece));
    onTestFinished(() => {
      if (program.exitCode === null && program.signalCode === null) process.kill(-program.pid!, "SIGKILL");
    });
    return { program, command, said: () => said };
  };

  return {
    save(file, time = 1) {
      const { content } = files.filter((each) => each.file === file)[time - 1] ?? expect.fail(`${name} has no ${file} to save`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, file), content);
    },
    async run(begins, more = "") {
      const { program, command, said } = begin(begins, more);
      const code = await new Promise((resolve) => program.once("close", resolve));
      expect(code, `${command}\n${said()}`).toBe(0);
    },
    async start(begins, url, more = "") {
      const { program, command, said } = begin(begins, more);
      const gone = new Promise((resolve) => program.once("exit", resolve));
      while (!(await fetch(url).catch(() => undefined))?.ok) {
        if (program.exitCode !== null) expect.fail(`${command}\n${said()}`);
        await new Promise((soon) => setTimeout(soon, 20));
      }
      return {
        async kill() {
          process.kill(-program.pid!, "SIGKILL");
          await gone;
        },
      };
    },
  };
}
