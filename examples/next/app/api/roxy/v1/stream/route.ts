import { proxyStream } from "@roxy/sdk/server";
import { hub } from "../../../../hub.ts";

export const GET = (request: Request) => proxyStream(request, hub);
