import type { Case } from "./place.ts";

/** What is served where, and how it is asked for (docs/protocol.md §8). */
export const requests: readonly Case[] = [
  {
    name: "every path says which methods it has, and others are refused",
    async run({ call }) {
      const paths = ["tickets", "sessions/c/refresh", "events", "events/x.1/receipts", "entities", "entities/orders/1", "mutations", "mutations/status", "mutations/m", "presence", "acks", "devices", "devices/d", "stream", "ping"];
      for (const path of paths) {
        await call("OPTIONS", `/v1/${path}`, { as: null });
        await call("PROPFIND", `/v1/${path}`, { as: null });
      }
      await call("PUT", "/v1/events", { body: {} });
      await call("POST", "/v1/ping", { body: {} });
    },
  },
  {
    name: "nothing is at other paths",
    async run({ call }) {
      for (const path of ["/", "/v1", "/v1/", "/v2/events", "/v1/events/", "/v1/nothing", "/v1/mutations/a/b", "/v1/entities/"]) await call("GET", path);
    },
  },
  {
    name: "a body is JSON as it is, and not too large",
    async run({ call }) {
      for (const path of ["events", "mutations", "mutations/status", "acks"]) {
        for (const type of ["text/plain", "", "application/json; charset=latin1", "application/x-www-form-urlencoded"]) {
          await call("POST", `/v1/${path}`, { body: "{}", headers: { "Content-Type": type } });
        }
        await call("POST", `/v1/${path}`, { body: "{}", headers: { "Content-Encoding": "gzip" } });
        await call("POST", `/v1/${path}`, { body: "{}", headers: { "Content-Type": 'application/json; charset="UTF-8"' } });
      }
      await call("POST", "/v1/events", { body: `{"x":"${"x".repeat(8 << 20)}"}` });
      await call("PUT", "/v1/entities/orders/1", { body: {}, headers: { "Content-Type": "application/merge-patch+json" } });
      await call("PATCH", "/v1/entities/orders/1", { body: {} });
    },
  },
  {
    name: "a ping comes back with the time",
    async run({ call }) {
      await call("GET", "/v1/ping?t=12:34.5", { as: null });
      await call("GET", "/v1/ping", { as: null });
      await call("GET", "/v1/ping?t=%20", { as: null });
      await call("GET", `/v1/ping?t=${"x".repeat(65)}`, { as: null });
    },
  },
];
