import { loadOrders } from "./actions.ts";
import { Board } from "./board.tsx";

// Each visitor gets the orders of this moment, with the cursor behind which their stream begins.
export const dynamic = "force-dynamic";

export default async function Page() {
  return <Board initial={await loadOrders()} />;
}
