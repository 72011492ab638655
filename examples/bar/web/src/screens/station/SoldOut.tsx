import type { ReactElement } from "react";
import type { Known } from "../../model/orders.ts";
import { Marks } from "../../parts/Marks.tsx";
import type { Product } from "../../roxy.gen.ts";

/** What the station makes, each with a switch: on the waiters' menus what is off is grey at once. */
export function SoldOut({ products, set }: { readonly products: readonly Known<Product>[]; readonly set: (product: Known<Product>, available: boolean) => void }): ReactElement {
  return (
    <ul className="stock" aria-label="Products">
      {products.map((product) => {
        const { name, available } = product.data;
        return (
          <li key={product.topic}>
            <button
              type="button"
              role="switch"
              aria-checked={available}
              className="switch"
              data-product={product.topic}
              onClick={() => set(product, !available)}
            >
              <span className="switch-name">{name}</span>
              <Marks of={product} />
              <span className="switch-word">{available ? "Available" : "Sold out"}</span>
              <span className="switch-knob" aria-hidden="true" />
            </button>
          </li>
        );
      })}
    </ul>
  );
}
