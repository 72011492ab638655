import { useState, type ReactElement } from "react";
import { useEntities } from "@roxy/sdk/react";
import type { Hub } from "../../hub.ts";
import { Icon } from "../../parts/Icon.tsx";
import { Stepper } from "../../parts/Stepper.tsx";

/** The buttons on the tables, which a demonstration does not have: somebody presses them here. */
export function Demo({ hub }: { readonly hub: Hub }): ReactElement {
  const entities = useEntities();
  const [table, setTable] = useState(7);
  const press = (wants: "waiter" | "bill"): void =>
    void entities.put(`calls/${table}`, { table, wants, since: new Date().toISOString() }, { type: "call:placed", guard: "none" });
  return (
    <div className="demo" data-device={hub.device}>
      <h2>The button on a table</h2>
      <div className="actions">
        <Stepper label="Table" value={table} min={1} max={20} change={setTable} />
        <button type="button" className="button" onClick={() => press("waiter")}>
          <Icon name="bell" />
          Call
        </button>
        <button type="button" className="button" onClick={() => press("bill")}>
          <Icon name="bill" />
          Pay
        </button>
      </div>
    </div>
  );
}
