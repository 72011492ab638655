import { useId, useState, type ReactElement } from "react";
import type { House } from "../../house.ts";
import { money } from "../../model/money.ts";
import { total, type Known } from "../../model/orders.ts";
import { Dialog } from "../../parts/Dialog.tsx";
import { Icon } from "../../parts/Icon.tsx";
import { Marks } from "../../parts/Marks.tsx";
import { useStaff } from "../../parts/staff.ts";
import { Stepper } from "../../parts/Stepper.tsx";
import type { Line, Order, Product } from "../../roxy.gen.ts";
import { PadLine } from "./PadLine.tsx";
import type { Place } from "./TablePlan.tsx";

/** The order of one table: its lines, and what can be done with it. */
export function OrderPad(props: {
  readonly place: Place;
  readonly order: Known<Order>;
  readonly products: readonly Known<Product>[];
  readonly house: House;
  readonly back: () => void;
  readonly menu: () => void;
}): ReactElement {
  const { place, order, products, house, back, menu } = props;
  const { lines, table } = place;
  const staffName = useStaff();
  const [noting, setNoting] = useState<string>();
  const [paying, setPaying] = useState(false);
  const { status, guests = 1, waiter } = order.data;
  const drafts = lines.filter(({ data }) => data.status === "draft");
  const ready = lines.filter(({ data }) => data.status === "ready");
  const noted = lines.find(({ topic }) => topic === noting);
  const nameOf = (line: Known<Line>): string => products.find(({ topic }) => topic === `products/${line.data.product}`)?.data.name ?? line.data.product;
  const pieces = drafts.reduce((sum, { data }) => sum + data.quantity, 0);
  const open = status === "open";
  return (
    <>
      <header className="pane-head">
        <button type="button" className="button quiet square back" aria-label="Back to the tables" onClick={back}>
          <Icon name="back" />
        </button>
        <h1>Table {table.data.number}</h1>
        <Marks of={order} />
        <p className="muted pane-note">{staffName(waiter)}</p>
      </header>
      <div className="pad-guests">
        <span className="muted">Guests</span>
        <Stepper label="Guests" value={guests} min={1} max={40} change={(value) => house.guests(order, value)} />
      </div>
      {lines.length === 0 ? (
        <p className="empty">Nothing ordered yet.</p>
      ) : (
        <ul className="lines" aria-label="Lines">
          {lines.map((line) => (
            <PadLine key={line.topic} line={line} name={nameOf(line)} open={open} house={house} note={() => setNoting(line.topic)} />
          ))}
        </ul>
      )}
      <footer className="pad-foot">
        <p className="pad-total">
          <span>Total</span>
          <output>{money(total(lines))}</output>
        </p>
        {open && (
          <div className="actions">
            <button type="button" className="button wide only-phone" onClick={menu}>
              <Icon name="plus" />
              Add
            </button>
            {ready.length > 0 && (
              <button type="button" className="button ready wide" onClick={() => house.serve(ready)}>
                <Icon name="check" />
                Served ({ready.length})
              </button>
            )}
            {pieces > 0 ? (
              <button type="button" className="button primary wide" onClick={() => house.fire(order, drafts)}>
                <Icon name="send" />
                Send {pieces}
              </button>
            ) : (
              lines.length > 0 && (
                <button type="button" className="button primary wide" onClick={() => setPaying(true)}>
                  <Icon name="bill" />
                  Bill
                </button>
              )
            )}
            {lines.length === 0 && (
              <button type="button" className="button wide" onClick={() => house.free(table)}>
                Guests left
              </button>
            )}
          </div>
        )}
        {status === "bill" && (
          <div className="actions">
            <p className="notice grow">The till has the bill ({order.data.method}).</p>
            <button type="button" className="button wide" onClick={() => house.reopen(order)}>
              Take it back
            </button>
          </div>
        )}
        {status === "paid" && (
          <div className="actions">
            <p className="notice good grow">Paid.</p>
            <button
              type="button"
              className="button primary wide"
              onClick={() => {
                house.free(table);
                back();
              }}
            >
              Free the table
            </button>
          </div>
        )}
      </footer>
      {noted && <NoteDialog line={noted} name={nameOf(noted)} save={(note) => house.note(noted, note)} close={() => setNoting(undefined)} />}
      {paying && (
        <Dialog title={`Bill of table ${table.data.number}: ${money(total(lines))}`} close={() => setPaying(false)}>
          <p>How do they pay?</p>
          <div className="actions">
            {(["card", "cash"] as const).map((method) => (
              <button
                key={method}
                type="button"
                className="button primary wide"
                onClick={() => {
                  house.bill(order, method);
                  setPaying(false);
                }}
              >
                <Icon name={method === "card" ? "bill" : "money"} />
                {method === "card" ? "Card" : "Cash"}
              </button>
            ))}
          </div>
        </Dialog>
      )}
    </>
  );
}

const WISHES = ["No ice", "Extra plate", "Well done", "No onions", "Allergic to nuts"];

function NoteDialog({ line, name, save, close }: { readonly line: Known<Line>; readonly name: string; readonly save: (note: string) => void; readonly close: () => void }): ReactElement {
  const [text, setText] = useState(line.data.note ?? "");
  const id = useId();
  return (
    <Dialog title={`Note: ${name}`} close={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save(text);
          close();
        }}
      >
        <label htmlFor={id}>What does the guest want otherwise?</label>
        <input id={id} className="input" maxLength={200} value={text} autoFocus autoComplete="off" onChange={(event) => setText(event.target.value)} />
        <div className="wishes" role="group" aria-label="Frequent wishes">
          {WISHES.map((wish) => (
            <button key={wish} type="button" className="button" onClick={() => setText(wish)}>
              {wish}
            </button>
          ))}
        </div>
        <div className="actions">
          <button type="submit" className="button primary wide">
            Save
          </button>
        </div>
      </form>
    </Dialog>
  );
}
