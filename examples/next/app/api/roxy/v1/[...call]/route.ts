// The other calls of a page's client: round trips are measured, and who uses acknowledgements or entities makes them here.
import { proxyCall } from "@roxy/sdk/server";
import { hub } from "../../../../hub.ts";

const answer = (request: Request) => proxyCall(request, hub);

export { answer as GET, answer as POST, answer as PUT, answer as PATCH, answer as DELETE };
