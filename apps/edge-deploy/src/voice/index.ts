export {
  type Detector,
  decisionAgreement,
  framesOf,
  SPEECH,
  sileroLegacy,
  sileroV5,
  speechProbabilities,
  truthAgreement,
} from "./detector.ts";
export { SAMPLE_RATE, type Signal, synthesise } from "./signal.ts";
