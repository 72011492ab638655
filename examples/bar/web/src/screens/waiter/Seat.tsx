import type { ReactElement } from "react";
import type { House } from "../../house.ts";
import { Icon } from "../../parts/Icon.tsx";
import type { Place } from "./TablePlan.tsx";

const GUESTS = [1, 2, 3, 4, 5, 6, 7, 8, 10];

/** A free table: how many sit down? */
export function Seat({ place, house, back }: { readonly place: Place; readonly house: House; readonly back: () => void }): ReactElement {
  const { number, status } = place.table.data;
  return (
    <>
      <header className="pane-head">
        <button type="button" className="button quiet square back" aria-label="Back to the tables" onClick={back}>
          <Icon name="back" />
        </button>
        <h1>Table {number}</h1>
      </header>
      {status === "free" ? (
        <div className="seat">
          <p id="how-many" className="muted">
            Free. How many guests sit down?
          </p>
          <div className="numbers" role="group" aria-labelledby="how-many">
            {GUESTS.map((guests) => (
              <button key={guests} type="button" className="button number" aria-label={`${guests} ${guests === 1 ? "guest" : "guests"}`} onClick={() => house.open(place.table, guests)}>
                {guests}
              </button>
            ))}
          </div>
        </div>
      ) : (
        <div className="seat">
          <p className="muted">This table is taken, and its order is not here.</p>
          <button type="button" className="button wide" onClick={() => house.free(place.table)}>
            Free the table
          </button>
        </div>
      )}
    </>
  );
}
