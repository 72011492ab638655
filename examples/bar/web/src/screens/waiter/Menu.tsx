import { useState, type ReactElement } from "react";
import type { Known } from "../../model/orders.ts";
import { money } from "../../model/money.ts";
import { Icon } from "../../parts/Icon.tsx";
import type { Line, Product, Station } from "../../roxy.gen.ts";

/** What can be ordered; what has run out is grey and says so. */
export function Menu(props: {
  readonly products: readonly Known<Product>[];
  readonly lines: readonly Known<Line>[];
  /** Whether the order still takes lines. */
  readonly open: boolean;
  readonly back: () => void;
  readonly add: (product: Known<Product>) => void;
}): ReactElement {
  const { products, lines, open, back, add } = props;
  const [station, setStation] = useState<Station>("kitchen");
  const taken = (name: string): number =>
    lines.filter(({ data }) => data.status === "draft" && `products/${data.product}` === name).reduce((sum, { data }) => sum + data.quantity, 0);
  return (
    <>
      <header className="pane-head">
        <button type="button" className="button quiet square back" aria-label="Back to the order" onClick={back}>
          <Icon name="back" />
        </button>
        <h2>Menu</h2>
        <div className="segments" role="group" aria-label="Part of the menu">
          {(["kitchen", "counter"] as const).map((which) => (
            <button key={which} type="button" className="segment" aria-pressed={station === which} onClick={() => setStation(which)}>
              {which === "kitchen" ? "Food" : "Drinks"}
            </button>
          ))}
        </div>
      </header>
      <ul className="menu">
        {products
          .filter(({ data }) => data.station === station)
          .map((product) => {
            const { name, price, available, allergens } = product.data;
            const drafts = taken(product.topic);
            return (
              <li key={product.topic}>
                <button
                  type="button"
                  className="dish"
                  data-product={product.topic}
                  disabled={!open}
                  aria-disabled={!available}
                  onClick={() => available && add(product)}
                >
                  <span className="dish-name">{name}</span>
                  {allergens && <span className="dish-allergens">{allergens.join(", ")}</span>}
                  <span className="dish-price">{available ? money(price) : "Sold out"}</span>
                  {drafts > 0 && (
                    <span className="dish-count">
                      {drafts}
                      <span className="hidden"> on the pad</span>
                    </span>
                  )}
                </button>
              </li>
            );
          })}
      </ul>
      <footer className="menu-foot">
        <button type="button" className="button primary wide" onClick={back}>
          Done
        </button>
      </footer>
    </>
  );
}
