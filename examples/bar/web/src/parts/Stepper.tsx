import type { ReactElement } from "react";
import { Icon } from "./Icon.tsx";

/** A number with a button on either side. */
export function Stepper(props: {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly change: (value: number) => void;
}): ReactElement {
  const { label, value, min, max, change } = props;
  return (
    <div className="stepper" role="group" aria-label={label}>
      <button type="button" className="button square" aria-label={`${label}: one less`} disabled={value <= min} onClick={() => change(value - 1)}>
        <Icon name="minus" />
      </button>
      <output aria-live="off">{value}</output>
      <button type="button" className="button square" aria-label={`${label}: one more`} disabled={value >= max} onClick={() => change(value + 1)}>
        <Icon name="plus" />
      </button>
    </div>
  );
}
