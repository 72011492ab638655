import { useEffect, useState, type ReactElement } from "react";
import { globalPlatform } from "@roxy/sdk";
import { askStaff, type Person, type Role } from "../backend.ts";
import { ROLES } from "../model/words.ts";
import { Icon, type IconName } from "../parts/Icon.tsx";
import { allowSound } from "../parts/sound.ts";
import type { Session } from "../session.ts";

const ICONS: Readonly<Record<Role, IconName>> = { waiter: "table", kitchen: "pan", counter: "glass", till: "money", manager: "list" };

/** So long after no answer the server is asked again, in ms. */
const AGAIN = 2_000;

/** Who are you, and as what do you work? */
export function Login({ session, why }: { readonly session: Session; readonly why: string | undefined }): ReactElement {
  const [staff, setStaff] = useState<readonly Person[]>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    let again: ReturnType<typeof setTimeout> | undefined;
    let gone = false;
    const ask = async (): Promise<void> => {
      try {
        const answer = await askStaff(globalPlatform());
        if (gone) return;
        setStaff(answer.staff);
        setProblem(undefined);
      } catch (error) {
        if (gone) return;
        setProblem(error instanceof Error ? error.message : String(error));
        again = setTimeout(() => void ask(), AGAIN);
      }
    };
    void ask();
    return () => {
      gone = true;
      clearTimeout(again);
    };
  }, []);
  const trouble = why ?? problem;
  return (
    <main className="login">
      <header>
        <span className="sign">
          <Icon name="glass" size={36} />
        </span>
        <div>
          <h1>The bar</h1>
          <p className="muted">Who works at this screen?</p>
        </div>
      </header>
      {trouble !== undefined && (
        <p className="notice" role="alert">
          {trouble}
        </p>
      )}
      <ul className="people" aria-busy={staff === undefined && problem === undefined}>
        {staff?.flatMap(({ user, name, roles }) =>
          roles.map((role) => (
            <li key={`${user} ${role}`}>
              <button
                type="button"
                className="person"
                onClick={() => {
                  allowSound();
                  void session.signIn(user, role);
                }}
              >
                <span className="person-icon">
                  <Icon name={ICONS[role]} size={28} />
                </span>
                <span className="person-name">{name}</span>
                <span className="person-role">{ROLES[role]}</span>
              </button>
            </li>
          )),
        )}
      </ul>
      <p className="muted small">A demonstration: nobody asks for a password here. What each role may do is decided by the hub.</p>
    </main>
  );
}
