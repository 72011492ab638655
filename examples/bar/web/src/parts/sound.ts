// The bell of a station: two tones every other second. Browsers let a page be heard once somebody has touched it.
let context: AudioContext | undefined;

/** Allows sound: to be called from a press of a button. */
export function allowSound(): void {
  context ??= new AudioContext();
  void context.resume();
}

function strike(): void {
  if (context?.state !== "running") return;
  const at = context.currentTime;
  for (const [delay, pitch] of [
    [0, 880],
    [0.18, 1174],
  ] as const) {
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.25, at + delay);
    volume.gain.exponentialRampToValueAtTime(0.001, at + delay + 0.35);
    tone.connect(volume).connect(context.destination);
    tone.start(at + delay);
    tone.stop(at + delay + 0.4);
  }
}

/** Rings until the function it returns is called. */
export function ring(): () => void {
  strike();
  const timer = setInterval(strike, 2_000);
  return () => clearInterval(timer);
}
