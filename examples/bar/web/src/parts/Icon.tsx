import type { ReactElement } from "react";

// Drawn for this app, on a grid of 24: strokes only, so that they take the colour of the text beside them.
const PATHS = {
  back: "M15 5l-7 7 7 7",
  bell: "M6 16V11a6 6 0 0112 0v5l2 2H4zM10 21h4",
  bill: "M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6",
  check: "M5 12.5l4.5 4.5L19 7.5",
  clock: "M12 7v5l3.5 2M12 21a9 9 0 100-18 9 9 0 000 18z",
  close: "M6 6l12 12M18 6L6 18",
  cut: "M3 3l18 18M8.5 5.6A12 12 0 0121 9.5M3 9.5a12 12 0 013-2.2M6.5 13.2a8 8 0 014-2M14 11.4a8 8 0 013.5 1.8M12 18.5h.01",
  flame: "M12 3c1 4 5 5.500 5 10.500a5 5 0 01-10 0c0-2.500 1.500-3.500 2-5 1 1 1.500 1.500 2 2.500 1-2 1.500-5 1-8z",
  glass: "M5 4h14l-7 8zM12 12v7M8 20h8",
  guests: "M9 11a3.500 3.500 0 100-7 3.500 3.500 0 000 7zM2.500 20a6.500 6.500 0 0113 0M16 4.500a3.500 3.500 0 010 6.500M18 14a6.500 6.500 0 013.500 6",
  leave: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  list: "M4 6h16M4 12h16M4 18h10",
  minus: "M5 12h14",
  money: "M3 6h18v12H3zM12 15a3 3 0 100-6 3 3 0 000 6zM6.500 9.500h.01M17.500 14.500h.01",
  note: "M4 20l1-5L16 4l4 4L9 19zM14 6l4 4",
  pan: "M3 11h12a6 6 0 01-12 0zM15 11.500l6-3",
  plus: "M12 5v14M5 12h14",
  send: "M4 12l16-8-5 16-3.500-6.500z",
  table: "M3 8h18M5 8v11M19 8v11M8 8l1-3h6l1 3",
  trash: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13M10.500 11v5M13.500 11v5",
  warning: "M12 4l9 16H3zM12 10v4.500M12 17.300h.01",
  wifi: "M3 9.500a13 13 0 0118 0M6.500 13a8 8 0 0111 0M9.700 16.200a3.500 3.500 0 014.600 0M12 19h.01",
} as const;

export type IconName = keyof typeof PATHS;

/** A picture beside text that says the same, so that a screen reader need not hear it. */
export function Icon({ name, size = 24 }: { readonly name: IconName; readonly size?: number }): ReactElement {
  return (
    <svg className="icon" viewBox="0 0 24 24" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
