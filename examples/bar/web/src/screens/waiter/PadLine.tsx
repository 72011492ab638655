import type { ReactElement } from "react";
import type { House } from "../../house.ts";
import { money } from "../../model/money.ts";
import type { Known } from "../../model/orders.ts";
import { LINE } from "../../model/words.ts";
import { Icon } from "../../parts/Icon.tsx";
import { Marks } from "../../parts/Marks.tsx";
import { useStaff } from "../../parts/staff.ts";
import { Stepper } from "../../parts/Stepper.tsx";
import type { Line } from "../../roxy.gen.ts";

/** One line of the pad. A draft can be changed; what was sent can be noted on and cancelled until its station has it ready. */
export function PadLine(props: {
  readonly line: Known<Line>;
  readonly name: string;
  readonly open: boolean;
  readonly house: House;
  readonly note: () => void;
}): ReactElement {
  const { line, name, open, house, note } = props;
  const { quantity, status, price, note: text, acceptedBy, by } = line.data;
  const staffName = useStaff();
  const draft = status === "draft";
  const changeable = open && (draft || status === "new" || status === "preparing");
  return (
    <li className={`line line-${status}`} data-line={line.topic} data-status={status}>
      <div className="line-main">
        {!draft && <span className="line-count">{quantity} ×</span>}
        <span className="line-name">{name}</span>
        <span className="line-price">{money(quantity * price)}</span>
      </div>
      <p className="line-state">
        <span className={`status status-${status}`}>{status === "new" && acceptedBy !== undefined ? "Confirmed" : LINE[status]}</span>
        {text !== undefined && (
          <span className="line-note">
            <Icon name="note" size={16} />
            {text}
          </span>
        )}
        {draft && by !== undefined && <span className="muted">{staffName(by)}</span>}
        <Marks of={line} />
      </p>
      {changeable && (
        <div className="line-actions">
          {draft && <Stepper label={`${name}: quantity`} value={quantity} min={1} max={99} change={(value) => house.quantity(line, value)} />}
          <button type="button" className="button square" aria-label={`${name}: note`} onClick={note}>
            <Icon name="note" />
          </button>
          <button type="button" className="button square" aria-label={draft ? `${name}: remove` : `${name}: cancel`} onClick={() => house.remove(line)}>
            <Icon name={draft ? "trash" : "close"} />
          </button>
        </div>
      )}
    </li>
  );
}
