import { useEffect, type ReactElement } from "react";
import type { DeadLetter } from "../../alarms.ts";
import { Icon } from "../../parts/Icon.tsx";
import { useStaff } from "../../parts/staff.ts";
import { ring } from "../../parts/sound.ts";

const WHY: Readonly<Record<DeadLetter["reason"], string>> = {
  attempts: "nobody has confirmed it",
  ttl: "nobody confirmed it in time",
  retention: "nobody confirmed it before it was forgotten",
  "no-audience": "no screen was there to hear it",
};

/** What had to be confirmed and was not. It rings until the manager has dealt with it. */
export function AlarmList(props: {
  readonly letters: readonly DeadLetter[];
  readonly name: (topic: string) => string;
  readonly dismiss: (event: string) => void;
}): ReactElement | null {
  const { letters, name, dismiss } = props;
  const staffName = useStaff();
  useEffect(() => (letters.length > 0 ? ring() : undefined), [letters.length > 0]);
  if (letters.length === 0) return null;
  return (
    <ul className="alarms" aria-label="Alarms">
      {letters.map((letter) => (
        <li key={letter.event} className="alarm-row" role="alert" data-letter={letter.event}>
          <Icon name="warning" size={32} />
          <p>
            <strong>{letter.type === "order:new" ? "A new order" : letter.type}</strong>: {WHY[letter.reason]}
            <br />
            <span>
              {name(letter.topic)}
              {letter.by !== undefined && ` from ${staffName(letter.by)}`}, {new Date(letter.time).toLocaleTimeString("en-IE", { hour: "2-digit", minute: "2-digit" })}
            </span>
          </p>
          <button type="button" className="button" onClick={() => dismiss(letter.event)}>
            Dealt with
          </button>
        </li>
      ))}
    </ul>
  );
}
