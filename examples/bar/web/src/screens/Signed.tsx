import { useEffect, type ReactElement } from "react";
import { useCollection } from "@roxy/sdk/react";
import type { Hub } from "../hub.ts";
import type { Role } from "../backend.ts";
import { known } from "../model/orders.ts";
import { ROLES } from "../model/words.ts";
import { Connection } from "../parts/Connection.tsx";
import { NoNetwork } from "../parts/NoNetwork.tsx";
import { useObservable, useRoute } from "../parts/hooks.ts";
import { Icon } from "../parts/Icon.tsx";
import { said } from "../parts/say.ts";
import { allowSound } from "../parts/sound.ts";
import { useStaff } from "../parts/staff.ts";
import { Troubles } from "../parts/Troubles.tsx";
import { Manager } from "./Manager.tsx";
import { Station } from "./Station.tsx";
import { Till } from "./Till.tsx";
import { Waiter } from "./Waiter.tsx";

/** Everybody's frame, and in it the screen of the role. The manager walks through all of them. */
export function Signed({ hub, leave }: { readonly hub: Hub; readonly leave: () => void }): ReactElement {
  const { role, user } = hub.access;
  const [route, go] = useRoute();
  const [first = ""] = route.split("/");
  const screen: Role = role === "manager" && first in ROLES ? (first as Role) : role;
  const rest = role === "manager" ? route.split("/").slice(1).join("/") : route;
  const walk = (to: string): void => go(role === "manager" ? `${screen}/${to}` : to);
  const name = useNames();
  const nameOf = useStaff();
  useEffect(() => {
    document.title = `${ROLES[role]} · The bar`;
  }, [role]);
  return (
    <div className={`frame screen-${screen}`} onPointerDownCapture={allowSound}>
      <header className="bar">
        <p className="who">
          <span className="who-role">{ROLES[role]}</span>
          <span className="muted who-user">{nameOf(user)}</span>
        </p>
        <div className="bar-actions">
          <Connection network={hub.network} reconnect={() => hub.client.connect()} />
          <button type="button" className="button quiet square" aria-label="Sign out" onClick={leave}>
            <Icon name="leave" />
          </button>
        </div>
      </header>
      {role === "manager" && <Walk screen={screen} go={go} />}
      <NoNetwork seen={hub.seen} />
      <Troubles name={name} />
      <Screen hub={hub} screen={screen} route={rest} go={walk} name={name} />
      <Announcer />
    </div>
  );
}

function Screen(props: {
  readonly hub: Hub;
  readonly screen: Role;
  readonly route: string;
  readonly go: (to: string) => void;
  readonly name: (topic: string) => string;
}): ReactElement {
  const { hub, screen, route, go, name } = props;
  switch (screen) {
    case "waiter":
      return <Waiter hub={hub} route={route} go={go} />;
    case "kitchen":
      return <Station hub={hub} station="kitchen" />;
    case "counter":
      return <Station hub={hub} station="counter" />;
    case "till":
      return <Till hub={hub} route={route} go={go} />;
    case "manager":
      return <Manager hub={hub} name={name} />;
  }
}

const WALK = [
  ["manager", "House"],
  ["waiter", "Tables"],
  ["kitchen", "Kitchen"],
  ["counter", "Counter"],
  ["till", "Till"],
] as const;

function Walk({ screen, go }: { readonly screen: Role; readonly go: (to: string) => void }): ReactElement {
  return (
    <nav className="walk" aria-label="Screens">
      {WALK.map(([to, word]) => (
        <button key={to} type="button" className="tab" aria-current={screen === to ? "page" : undefined} onClick={() => go(to)}>
          {word}
        </button>
      ))}
    </nav>
  );
}

/** How a topic is called by who works here: "Negroni, table 7". */
function useNames(): (topic: string) => string {
  const lines = useCollection("lines/*");
  const orders = useCollection("orders/*");
  const products = useCollection("products/*");
  return (topic) => {
    const [kind, id] = topic.split("/");
    const product = (name: string): string => products.find((view) => view.topic === `products/${name}`)?.data?.name ?? name;
    const line = lines.filter(known).find((view) => view.topic === topic);
    const order = orders.filter(known).find((view) => view.topic === topic);
    if (line) return `${product(line.data.product)}, table ${line.data.table}`;
    if (order) return `order of table ${order.data.table}`;
    const paid = orders.filter(known).find((view) => view.topic === `orders/${id}`);
    if (paid && (kind === "payments" || kind === "receipts")) return `table ${paid.data.table}`;
    if (kind === "products") return product(id ?? "");
    if (kind === "tables" || kind === "calls") return `table ${id}`;
    return topic;
  };
}

function Announcer(): ReactElement {
  const { id, text } = useObservable(said);
  return (
    <div className="hidden" role="log" aria-live="polite">
      <span key={id}>{text}</span>
    </div>
  );
}
